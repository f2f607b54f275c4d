// Package examples holds the example workflows with their sample documents, embedded, so
// that the demo, the tests and whoever imports it drive the very files that a reader sees.
//
// Each folder has a workflow.yaml and samples/*.json. A sample is a document, the steps
// that take it through the net, and where it then stands:
//
//	{"description": "…", "triggered_by": "…", "data": {…}, "metadata": {…},
//	 "steps": [{"transition": "submit", "place": "draft", "data": {…}, "times": 1,
//	            "triggered_by": "…"}, {"transition": "escalate", "by_timeout": true}],
//	 "ends": {"status": "completed", "places": ["approved"]}}
//
// place chooses among several origins; times repeats a step; a step by_timeout is not
// fired but waited for. The time-outs of the files are realistic, which is hours: Hurried
// makes a copy of a workflow under another name that has short ones.
package examples
