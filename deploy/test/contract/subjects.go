package contract

import "strings"

// endpoint finds the endpoint on a subject.
func (c *Contract) endpoint(subject string) (Endpoint, bool) {
	for _, e := range c.Endpoints {
		if e.Subject == subject {
			return e, true
		}
	}
	return Endpoint{}, false
}

// message finds what travels on a subject, and the values of the subject's parameters.
func (c *Contract) message(subject string) (Message, map[string]string, bool) {
	for _, m := range c.Messages {
		if parameters, ok := match(m.Subject, subject); ok {
			return m, parameters, true
		}
	}
	return Message{}, nil, false
}

// values restricts parameters that share their place with others.
var values = map[string]string{
	"workflow_lifecycle": " deployed stream_created archived ",
	"lifecycle": " created injected updated function_executed function_failed agent_processed agent_failed " +
		"suspended resumed cancelled migrated ",
	"status": " active suspended completed cancelled ",
	"timer":  " timeout purge ",
	"kind":   " function agent ",
}

func match(pattern, subject string) (map[string]string, bool) {
	want, have := strings.Split(pattern, "."), strings.Split(subject, ".")
	if len(want) != len(have) {
		return nil, false
	}
	parameters := map[string]string{}
	for i, w := range want {
		name, ok := strings.CutPrefix(w, "{")
		if !ok {
			if w != have[i] {
				return nil, false
			}
			continue
		}
		name = strings.TrimSuffix(name, "}")
		if allowed, ok := values[name]; ok && !strings.Contains(allowed, " "+have[i]+" ") {
			return nil, false
		}
		parameters[name] = have[i]
	}
	return parameters, true
}

// streamOf is the stream that a message belongs to.
func streamOf(m Message, parameters map[string]string) string {
	return strings.ReplaceAll(m.Stream, "{WORKFLOW_ID}", strings.ToUpper(parameters["workflow_id"]))
}
