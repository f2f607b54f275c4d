// Package contract holds a fleet to what protocols/ says of it. It reads only protocols/:
// subjects.json says which message travels on which subject, schema/ what is in it,
// errors.json which errors there are.
//
//	contract.Load(t)         the contract, to check single messages
//	contract.Watch(t, url)   watches a running fleet; at the end of the test it fails
//	                         for every message that broke the contract
//
// A watch sees requests and their replies, everything that is published into the streams,
// and at the end what the streams hold. Fleet messages are checked more strictly than
// readers should: a member that the schema does not name is a fault here, since it means
// that the schema was forgotten.
//
// What a watch does not see: replies to inboxes with a prefix of their own, and on a
// cluster a reply that overtakes its request on the way here. While it listens, a request
// to a service that is down runs into its time-out instead of "no responders": tests of
// absence must not watch. (Functions are asked on subjects that it does not listen to.) It
// listens to the inboxes of pulls, too, so a pull that a consumer has given up still takes
// messages, which come again only after the consumer's AckWait.
package contract
