package client

import (
	"context"
	"iter"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// AllWorkflows reads page after page, as it is ranged over. The sequence ends after the
// first error, which comes with a zero value. A Limit in the request is the size of a page.
func (c *Client) AllWorkflows(ctx context.Context, r wire.WorkflowListRequest) iter.Seq2[wire.WorkflowRecord, error] {
	return pages(func(cursor string) ([]wire.WorkflowRecord, string, error) {
		r.Cursor = cursor
		reply, err := c.WorkflowList(ctx, r)
		return reply.Workflows, reply.NextCursor, err
	}, r.Cursor)
}

// AllTokens is AllWorkflows for the tokens in a place. The pages are no snapshot: a token
// that moves meanwhile may be missed or seen twice.
func (c *Client) AllTokens(ctx context.Context, r wire.TokenListRequest) iter.Seq2[wire.Token, error] {
	return pages(func(cursor string) ([]wire.Token, string, error) {
		r.Cursor = cursor
		reply, err := c.TokenList(ctx, r)
		return reply.Tokens, reply.NextCursor, err
	}, r.Cursor)
}

// AllInstances is AllWorkflows for instances.
func (c *Client) AllInstances(ctx context.Context, r wire.InstanceListRequest) iter.Seq2[wire.Instance, error] {
	return pages(func(cursor string) ([]wire.Instance, string, error) {
		r.Cursor = cursor
		reply, err := c.InstanceList(ctx, r)
		return reply.Instances, reply.NextCursor, err
	}, r.Cursor)
}

// AllHistory is AllWorkflows for the steps of a token, oldest first.
func (c *Client) AllHistory(ctx context.Context, r wire.TokenHistoryRequest) iter.Seq2[wire.TransitionRecord, error] {
	return pages(func(cursor string) ([]wire.TransitionRecord, string, error) {
		r.Cursor = cursor
		reply, err := c.TokenHistory(ctx, r)
		return reply.Records, reply.NextCursor, err
	}, r.Cursor)
}

func pages[T any](page func(cursor string) ([]T, string, error), cursor string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			items, next, err := page(cursor)
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if next == "" || next == cursor {
				return
			}
			cursor = next
		}
	}
}
