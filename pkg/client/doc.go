// Package client calls the services over NATS, one typed method for each endpoint.
//
//	c := client.New(nc)
//	token, err := c.TokenCreate(ctx, wire.TokenCreateRequest{WorkflowID: "document_review"})
//	if errors.Is(err, fault.WorkflowNotFound) { … }
//
// Every error has a code of pkg/fault: what the service said, Unavailable when no copy of
// it is answering, Timeout when the answer did not come in time. Only a caller who cancels
// gets context.Canceled.
//
// # Repeating
//
// A mutating request without a request_id gets one, so that it may be repeated safely: the
// client repeats a request that was answered 429 or 503, or whose connection broke, with
// the same id until the context ends; the effect happens once. A request that was received
// but not answered is asked again too, once its share of the time is over. Without a
// deadline of the caller's, everything together has DefaultTimeout.
//
// Not guaranteed: after Timeout or Unavailable a change may have taken effect. Whoever needs
// to know sets a request_id of their own and asks again with it.
package client
