package convert

// Overlay is what clients have set of an object that Outlook has no place for: properties of their own, acknowledgements of
// alarms, further alarms. It is kept beside the event and given back to clients.
type Overlay struct {
	// Parts are by the component that they belong to: "" the single event or the master, else the instant of its RECURRENCE-ID
	// in UTC (20060102T150405Z), or its date (20060102).
	Parts map[string]OverlayPart `json:"parts,omitempty"`
}

// OverlayPart is the overlay of one component.
type OverlayPart struct {
	Lines    []string `json:"lines,omitempty"`    // content lines of further properties, unfolded, without line ends
	Reminder []string `json:"reminder,omitempty"` // and of the alarm that Outlook has, such as ACKNOWLEDGED
	Alarms   []string `json:"alarms,omitempty"`   // further VALARMs, as their content lines joined by \n
}
