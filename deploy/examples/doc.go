// Package examples holds the example workflows with their sample documents, embedded, so
// that the demo, the tests and whoever imports it drive the very files that a reader sees.
//
// Each folder has a workflow.yaml and samples/*.json. A sample is a document, the steps
// that take it through the net, and where it then stands:
//
//	{"description": "…", "triggered_by": "…", "data": {…}, "metadata": {…},
//	 "steps": [{"transition": "submit", "place": "draft", "data": {…}, "times": 1,
//	            "triggered_by": "…"}, {"transition": "escalate", "by_timeout": true},
//	           {"transition": "conclude", "automatic": true},
//	           {"transition": "accept", "by_function": true},
//	           {"transition": "correct", "after": "return_note"},
//	           {"transition": "approve", "refused": "rule_rejected"}],
//	 "runs": {"receipt_check": {"succeeded": 1, "failed": 1, "retries": 1}},
//	 "ends": {"status": "completed", "places": ["approved"], "data": {…}}}
//
// place chooses among several origins; times repeats a step. A step by_timeout, automatic or
// by_function is not fired but waited for, and must be the next that happens; one after a
// function waits until that has left its result on a token; one that is refused must be refused
// with that code. runs says how often each function runs for the document, and each run that
// failed leaves a dead letter. The data of ends are members that the last token has then. The
// time-outs of the files are realistic, which is hours: Hurried makes a copy of a workflow under
// another name that has short ones.
//
// The folders rules and functions have libraries of ready rules and functions. Those that an
// example's definition names are its Rules and Functions; whoever deploys it creates them first,
// and runs the Programs of those of kind nats.
package examples
