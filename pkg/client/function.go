package client

import (
	"context"
	"iter"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// FunctionCreate makes a function. It fails with fault.FunctionExists or fault.InvalidField.
func (c *Client) FunctionCreate(ctx context.Context, r wire.FunctionCreateRequest) (wire.Function, error) {
	return change[wire.FunctionCreateRequest, wire.Function](ctx, c, wire.SubjectFunctionCreate, &r, &r.Origin)
}

// FunctionUpdate makes the next version of a function.
func (c *Client) FunctionUpdate(ctx context.Context, r wire.FunctionUpdateRequest) (wire.Function, error) {
	return change[wire.FunctionUpdateRequest, wire.Function](ctx, c, wire.SubjectFunctionUpdate, &r, &r.Origin)
}

// FunctionGet reads one version of a function, with its open circuits.
func (c *Client) FunctionGet(ctx context.Context, r wire.FunctionGetRequest) (wire.Function, error) {
	return read[wire.FunctionGetRequest, wire.Function](ctx, c, wire.SubjectFunctionGet, r)
}

// FunctionList reads a page of functions; AllFunctions reads them all.
func (c *Client) FunctionList(ctx context.Context, r wire.FunctionListRequest) (wire.FunctionListReply, error) {
	return read[wire.FunctionListRequest, wire.FunctionListReply](ctx, c, wire.SubjectFunctionList, r)
}

// FunctionDelete removes a function that nothing uses. It fails with fault.FunctionInUse.
func (c *Client) FunctionDelete(ctx context.Context, r wire.FunctionDeleteRequest) (wire.Function, error) {
	return change[wire.FunctionDeleteRequest, wire.Function](ctx, c, wire.SubjectFunctionDelete, &r, &r.Origin)
}

// FunctionInvoke runs a function once, and waits for its end unless the request says Async.
func (c *Client) FunctionInvoke(ctx context.Context, r wire.FunctionInvokeRequest) (wire.Execution, error) {
	return change[wire.FunctionInvokeRequest, wire.Execution](ctx, c, wire.SubjectFunctionInvoke, &r, &r.Origin)
}

// FunctionTrigger says that a custom event has happened.
func (c *Client) FunctionTrigger(ctx context.Context, r wire.FunctionTriggerRequest) (wire.FunctionTriggerReply, error) {
	return change[wire.FunctionTriggerRequest, wire.FunctionTriggerReply](ctx, c, wire.SubjectFunctionTrigger, &r, &r.Origin)
}

// ExecutionGet reads the record of a run. It fails with fault.ExecutionNotFound.
func (c *Client) ExecutionGet(ctx context.Context, r wire.ExecutionGetRequest) (wire.Execution, error) {
	return read[wire.ExecutionGetRequest, wire.Execution](ctx, c, wire.SubjectExecutionGet, r)
}

// ExecutionList reads a page of runs, or of dead letters; AllExecutions reads them all.
func (c *Client) ExecutionList(ctx context.Context, r wire.ExecutionListRequest) (wire.ExecutionListReply, error) {
	return read[wire.ExecutionListRequest, wire.ExecutionListReply](ctx, c, wire.SubjectExecutionList, r)
}

// ExecutionRedrive runs dead letters again.
func (c *Client) ExecutionRedrive(ctx context.Context, r wire.ExecutionRedriveRequest) (wire.ExecutionChangeReply, error) {
	return change[wire.ExecutionRedriveRequest, wire.ExecutionChangeReply](ctx, c, wire.SubjectExecutionRedrive, &r, &r.Origin)
}

// ExecutionDiscard drops dead letters.
func (c *Client) ExecutionDiscard(ctx context.Context, r wire.ExecutionDiscardRequest) (wire.ExecutionChangeReply, error) {
	return change[wire.ExecutionDiscardRequest, wire.ExecutionChangeReply](ctx, c, wire.SubjectExecutionDiscard, &r, &r.Origin)
}

// AllFunctions is AllWorkflows for functions.
func (c *Client) AllFunctions(ctx context.Context, r wire.FunctionListRequest) iter.Seq2[wire.Function, error] {
	return pages(func(cursor string) ([]wire.Function, string, error) {
		r.Cursor = cursor
		reply, err := c.FunctionList(ctx, r)
		return reply.Functions, reply.NextCursor, err
	}, r.Cursor)
}

// AllExecutions is AllWorkflows for runs.
func (c *Client) AllExecutions(ctx context.Context, r wire.ExecutionListRequest) iter.Seq2[wire.Execution, error] {
	return pages(func(cursor string) ([]wire.Execution, string, error) {
		r.Cursor = cursor
		reply, err := c.ExecutionList(ctx, r)
		return reply.Executions, reply.NextCursor, err
	}, r.Cursor)
}
