package sqlstore

import (
	"encoding/json"
	"fmt"
	"strings"

	"outbridge/bridge"
)

// readState reads a state. One that an earlier version stored has a sentence and advice for the command line in place of
// codes: the sentence is kept until the next round says the same in codes.
func readState(text string) (bridge.State, error) {
	var stored struct {
		bridge.State
		Sentence string `json:"sentence"`
	}
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return bridge.State{}, err
	}
	s := stored.State
	if stored.Sentence == "" {
		return s, nil
	}
	s.Fault = bridge.Fault{Reason: bridge.ReasonWords, Detail: stored.Sentence}
	switch s.Code {
	case bridge.StateSignIn:
		s.Action = bridge.ActionSignIn
	case bridge.StateDenied:
		s.Action = bridge.ActionAskAndSignIn
	case bridge.StateConfiguration:
		s.Action = bridge.ActionConfigure
	case bridge.StateUnavailable:
		s.Action = bridge.ActionWait
	default:
		s.Action = bridge.ActionInspect
	}
	return s, nil
}

// fault is a bridge.Fault as a column: JSON, or "" for none. An earlier version stored words.
type fault struct{ *bridge.Fault }

func (f fault) Scan(v any) error {
	text, ok := v.(string)
	switch {
	case !ok:
		return fmt.Errorf("a fault is %T", v)
	case text == "":
		*f.Fault = bridge.Fault{}
	case strings.HasPrefix(text, "{"):
		*f.Fault = bridge.Fault{}
		return json.Unmarshal([]byte(text), f.Fault)
	default:
		*f.Fault = bridge.Fault{Reason: bridge.ReasonWords, Action: bridge.ActionInspect, Detail: text}
	}
	return nil
}

func faultText(f bridge.Fault) (string, error) {
	if f == (bridge.Fault{}) {
		return "", nil
	}
	b, err := json.Marshal(f)
	return string(b), err
}
