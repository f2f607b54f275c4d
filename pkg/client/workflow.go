package client

import (
	"context"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// WorkflowCreate deploys a new workflow. It fails with fault.InvalidDefinition (details:
// problems) or fault.WorkflowExists.
func (c *Client) WorkflowCreate(ctx context.Context, r wire.WorkflowCreateRequest) (wire.Workflow, error) {
	return change[wire.WorkflowCreateRequest, wire.Workflow](ctx, c, wire.SubjectWorkflowCreate, &r, &r.Origin)
}

// WorkflowUpdate deploys the next version of a workflow.
func (c *Client) WorkflowUpdate(ctx context.Context, r wire.WorkflowUpdateRequest) (wire.Workflow, error) {
	return change[wire.WorkflowUpdateRequest, wire.Workflow](ctx, c, wire.SubjectWorkflowUpdate, &r, &r.Origin)
}

// WorkflowGet reads one version of a workflow.
func (c *Client) WorkflowGet(ctx context.Context, r wire.WorkflowGetRequest) (wire.Workflow, error) {
	return read[wire.WorkflowGetRequest, wire.Workflow](ctx, c, wire.SubjectWorkflowGet, r)
}

// WorkflowList reads a page of workflows; AllWorkflows reads them all.
func (c *Client) WorkflowList(ctx context.Context, r wire.WorkflowListRequest) (wire.WorkflowListReply, error) {
	return read[wire.WorkflowListRequest, wire.WorkflowListReply](ctx, c, wire.SubjectWorkflowList, r)
}

// WorkflowArchive ends a workflow; its instances go on.
func (c *Client) WorkflowArchive(ctx context.Context, r wire.WorkflowArchiveRequest) (wire.Workflow, error) {
	return change[wire.WorkflowArchiveRequest, wire.Workflow](ctx, c, wire.SubjectWorkflowArchive, &r, &r.Origin)
}

// WorkflowDelete removes a workflow with all its instances.
func (c *Client) WorkflowDelete(ctx context.Context, r wire.WorkflowDeleteRequest) (wire.Workflow, error) {
	return change[wire.WorkflowDeleteRequest, wire.Workflow](ctx, c, wire.SubjectWorkflowDelete, &r, &r.Origin)
}

// WorkflowValidate checks a definition without deploying it.
func (c *Client) WorkflowValidate(ctx context.Context, r wire.WorkflowValidateRequest) (wire.WorkflowValidateReply, error) {
	return read[wire.WorkflowValidateRequest, wire.WorkflowValidateReply](ctx, c, wire.SubjectWorkflowValidate, r)
}

// WorkflowStreams tells what a workflow keeps on the server.
func (c *Client) WorkflowStreams(ctx context.Context, r wire.WorkflowStreamsRequest) (wire.WorkflowStreamsReply, error) {
	return read[wire.WorkflowStreamsRequest, wire.WorkflowStreamsReply](ctx, c, wire.SubjectWorkflowStreams, r)
}

// TransitionFire fires a transition. It fails with fault.TransitionNotEnabled,
// fault.TransitionNotFound, fault.PlaceMismatch and others of 409, 410 and 422.
func (c *Client) TransitionFire(ctx context.Context, r wire.FireRequest) (wire.FireReply, error) {
	return change[wire.FireRequest, wire.FireReply](ctx, c, wire.SubjectTransitionFire, &r, &r.Origin)
}

// TransitionComplete records the result of a function or an agent.
func (c *Client) TransitionComplete(ctx context.Context, r wire.CompleteRequest) (wire.FireReply, error) {
	return change[wire.CompleteRequest, wire.FireReply](ctx, c, wire.SubjectTransitionComplete, &r, &r.Origin)
}

// TransitionAvailable tells which transitions lead on.
func (c *Client) TransitionAvailable(ctx context.Context, r wire.AvailableRequest) (wire.AvailableReply, error) {
	return read[wire.AvailableRequest, wire.AvailableReply](ctx, c, wire.SubjectTransitionAvailable, r)
}
