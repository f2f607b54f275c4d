package client

import (
	"context"
	"iter"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// RuleCreate makes a rule. It fails with fault.RuleExists, or fault.InvalidField with what
// is wrong with the condition.
func (c *Client) RuleCreate(ctx context.Context, r wire.RuleCreateRequest) (wire.Rule, error) {
	return change[wire.RuleCreateRequest, wire.Rule](ctx, c, wire.SubjectRuleCreate, &r, &r.Origin)
}

// RuleUpdate makes the next version of a rule. It fails with fault.RuleNotFound or
// fault.VersionMismatch.
func (c *Client) RuleUpdate(ctx context.Context, r wire.RuleUpdateRequest) (wire.Rule, error) {
	return change[wire.RuleUpdateRequest, wire.Rule](ctx, c, wire.SubjectRuleUpdate, &r, &r.Origin)
}

// RuleGet reads a rule.
func (c *Client) RuleGet(ctx context.Context, r wire.RuleGetRequest) (wire.Rule, error) {
	return read[wire.RuleGetRequest, wire.Rule](ctx, c, wire.SubjectRuleGet, r)
}

// RuleList reads a page of rules; AllRules reads them all.
func (c *Client) RuleList(ctx context.Context, r wire.RuleListRequest) (wire.RuleListReply, error) {
	return read[wire.RuleListRequest, wire.RuleListReply](ctx, c, wire.SubjectRuleList, r)
}

// RuleDelete removes a rule. It fails with fault.RuleInUse, which names the workflows.
func (c *Client) RuleDelete(ctx context.Context, r wire.RuleDeleteRequest) (wire.Rule, error) {
	return change[wire.RuleDeleteRequest, wire.Rule](ctx, c, wire.SubjectRuleDelete, &r, &r.Origin)
}

// RuleHistory reads a page of the versions of a rule, oldest first.
func (c *Client) RuleHistory(ctx context.Context, r wire.RuleHistoryRequest) (wire.RuleHistoryReply, error) {
	return read[wire.RuleHistoryRequest, wire.RuleHistoryReply](ctx, c, wire.SubjectRuleHistory, r)
}

// RuleEvaluate asks what a rule or a condition says of a token, without changing anything.
func (c *Client) RuleEvaluate(ctx context.Context, r wire.RuleEvaluateRequest) (wire.RuleEvaluateReply, error) {
	return read[wire.RuleEvaluateRequest, wire.RuleEvaluateReply](ctx, c, wire.SubjectRuleEvaluate, r)
}

// RuleGuard asks the guards of firings.
func (c *Client) RuleGuard(ctx context.Context, r *wire.RuleGuardRequest) (wire.RuleGuardReply, error) {
	return read[*wire.RuleGuardRequest, wire.RuleGuardReply](ctx, c, wire.SubjectRuleGuard, r)
}

// AllRules is AllWorkflows for rules.
func (c *Client) AllRules(ctx context.Context, r wire.RuleListRequest) iter.Seq2[wire.Rule, error] {
	return pages(func(cursor string) ([]wire.Rule, string, error) {
		r.Cursor = cursor
		reply, err := c.RuleList(ctx, r)
		return reply.Rules, reply.NextCursor, err
	}, r.Cursor)
}

// AllRuleVersions is AllWorkflows for the versions of a rule, oldest first.
func (c *Client) AllRuleVersions(ctx context.Context, r wire.RuleHistoryRequest) iter.Seq2[wire.Rule, error] {
	return pages(func(cursor string) ([]wire.Rule, string, error) {
		r.Cursor = cursor
		reply, err := c.RuleHistory(ctx, r)
		return reply.Versions, reply.NextCursor, err
	}, r.Cursor)
}
