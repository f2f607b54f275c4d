package client

import (
	"context"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// TokenCreate starts an instance with its root token.
func (c *Client) TokenCreate(ctx context.Context, r wire.TokenCreateRequest) (wire.Token, error) {
	return change[wire.TokenCreateRequest, wire.Token](ctx, c, wire.SubjectTokenCreate, &r, &r.Origin)
}

// TokenInject puts a new token into a running instance.
func (c *Client) TokenInject(ctx context.Context, r wire.TokenInjectRequest) (wire.Token, error) {
	return change[wire.TokenInjectRequest, wire.Token](ctx, c, wire.SubjectTokenInject, &r, &r.Origin)
}

// TokenGet reads a token. It fails with fault.TokenNotFound, or fault.TokenEnded after it
// was consumed.
func (c *Client) TokenGet(ctx context.Context, r wire.TokenGetRequest) (wire.Token, error) {
	return read[wire.TokenGetRequest, wire.Token](ctx, c, wire.SubjectTokenGet, r)
}

// TokenList reads a page of the tokens in a place; AllTokens reads them all.
func (c *Client) TokenList(ctx context.Context, r wire.TokenListRequest) (wire.TokenListReply, error) {
	return read[wire.TokenListRequest, wire.TokenListReply](ctx, c, wire.SubjectTokenList, r)
}

// TokenFind looks for tokens by a condition.
func (c *Client) TokenFind(ctx context.Context, r wire.TokenFindRequest) (wire.TokenFindReply, error) {
	return read[wire.TokenFindRequest, wire.TokenFindReply](ctx, c, wire.SubjectTokenFind, r)
}

// TokenHistory reads a page of a token's steps; AllHistory reads them all.
func (c *Client) TokenHistory(ctx context.Context, r wire.TokenHistoryRequest) (wire.TokenHistoryReply, error) {
	return read[wire.TokenHistoryRequest, wire.TokenHistoryReply](ctx, c, wire.SubjectTokenHistory, r)
}

// TokenUpdate changes a token where it stands.
func (c *Client) TokenUpdate(ctx context.Context, r wire.TokenUpdateRequest) (wire.Token, error) {
	return change[wire.TokenUpdateRequest, wire.Token](ctx, c, wire.SubjectTokenUpdate, &r, &r.Origin)
}

// TokenCancel takes one token out of its instance, or cancels the whole instance.
func (c *Client) TokenCancel(ctx context.Context, r wire.TokenCancelRequest) (wire.Instance, error) {
	return change[wire.TokenCancelRequest, wire.Instance](ctx, c, wire.SubjectTokenCancel, &r, &r.Origin)
}

// InstanceGet reads an instance.
func (c *Client) InstanceGet(ctx context.Context, r wire.InstanceGetRequest) (wire.Instance, error) {
	return read[wire.InstanceGetRequest, wire.Instance](ctx, c, wire.SubjectInstanceGet, r)
}

// InstanceList reads a page of instances; AllInstances reads them all.
func (c *Client) InstanceList(ctx context.Context, r wire.InstanceListRequest) (wire.InstanceListReply, error) {
	return read[wire.InstanceListRequest, wire.InstanceListReply](ctx, c, wire.SubjectInstanceList, r)
}

// InstanceSuspend stops an instance until it is resumed.
func (c *Client) InstanceSuspend(ctx context.Context, r wire.InstanceSuspendRequest) (wire.Instance, error) {
	return change[wire.InstanceSuspendRequest, wire.Instance](ctx, c, wire.SubjectInstanceSuspend, &r, &r.Origin)
}

// InstanceResume lets a suspended instance go on.
func (c *Client) InstanceResume(ctx context.Context, r wire.InstanceResumeRequest) (wire.Instance, error) {
	return change[wire.InstanceResumeRequest, wire.Instance](ctx, c, wire.SubjectInstanceResume, &r, &r.Origin)
}

// InstanceMigrate moves an instance to another version of its workflow.
func (c *Client) InstanceMigrate(ctx context.Context, r wire.InstanceMigrateRequest) (wire.Instance, error) {
	return change[wire.InstanceMigrateRequest, wire.Instance](ctx, c, wire.SubjectInstanceMigrate, &r, &r.Origin)
}

// AnalyticsPlaces tells how a workflow's places are used.
func (c *Client) AnalyticsPlaces(ctx context.Context, r wire.AnalyticsRequest) (wire.AnalyticsPlacesReply, error) {
	return read[wire.AnalyticsRequest, wire.AnalyticsPlacesReply](ctx, c, wire.SubjectAnalyticsPlaces, r)
}

// AnalyticsTransitions tells how a workflow's transitions are used.
func (c *Client) AnalyticsTransitions(ctx context.Context, r wire.AnalyticsRequest) (wire.AnalyticsTransitionsReply, error) {
	return read[wire.AnalyticsRequest, wire.AnalyticsTransitionsReply](ctx, c, wire.SubjectAnalyticsTransitions, r)
}
