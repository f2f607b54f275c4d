// Package fleet runs a whole fleet in one process: an embedded nats-server and every
// service, each with a connection of its own, the data in one folder.
//
//	Start:  lock the folder ─► nats-server ─► HTTP ─► services, in order ─► ready
//	Stop:   not ready ─► services, in reverse ─► HTTP ─► nats-server ─► unlock
//
// The services are the ones that run alone elsewhere, started by the same code; nothing
// here is special to them but where their connection leads. Connections stay inside the
// process and never touch a socket.
//
// A folder belongs to one process at a time: a lock that the operating system takes back
// when the process ends, however it ends, keeps a second one out.
//
// What is not guaranteed: with SyncAlways off, an acknowledged command can be lost when the
// machine (not the process) goes down within the server's sync interval.
package fleet
