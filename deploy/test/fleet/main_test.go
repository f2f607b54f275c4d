package fleet

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// long reports whether the long form of the proofs was asked for (make chaos).
func long() bool { return os.Getenv("CHAOS") == "long" }

// pingPong is a net whose instances never end: a token goes to and fro.
const pingPong = `{"name":"ping_pong","initial_place":"a","places":[{"id":"a"},{"id":"b"},{"id":"end"}],"transitions":[
	{"id":"go","from":"a","to":"b"},{"id":"back","from":"b","to":"a"},{"id":"finish","from":["a","b"],"to":"end"}]}`
