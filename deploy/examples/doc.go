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
//	           {"transition": "approve", "refused": "rule_rejected"}],
//	 "ends": {"status": "completed", "places": ["approved"]}}
//
// place chooses among several origins; times repeats a step. A step by_timeout or automatic
// is not fired but waited for, and must be the next that happens; one that is refused must
// be refused with that code. The time-outs of the files are realistic, which is hours:
// Hurried makes a copy of a workflow under another name that has short ones.
//
// The folder rules has a library of ready rules. Those that an example's definition names
// are its Rules; whoever deploys it creates them first.
package examples
