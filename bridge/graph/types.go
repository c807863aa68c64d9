package graph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// EventID is Graph's id of an event, occurrence or exception. It is opaque, case-sensitive, and may hold
// any of the characters "= + / _ - .".
type EventID string

// CalendarID is Graph's id of a calendar. It is opaque.
type CalendarID string

// Types of an event (the property "type").
const (
	SingleInstance = "singleInstance"
	Occurrence     = "occurrence"
	Exception      = "exception"
	SeriesMaster   = "seriesMaster"
)

// Calendar is the resource "calendar".
type Calendar struct {
	ID       CalendarID   `json:"id"`
	Name     string       `json:"name"`
	Color    string       `json:"color"`    // lightBlue … lightRed, auto
	HexColor string       `json:"hexColor"` // "#rrggbb", "" if never set
	Default  bool         `json:"isDefaultCalendar"`
	CanEdit  bool         `json:"canEdit"`
	Owner    EmailAddress `json:"owner"`

	// CanViewPrivate: private events are not blank. Writing to one that is blank would destroy it.
	CanViewPrivate bool `json:"canViewPrivateItems"`
	// OnlineMeetings is the provider of online meetings that are made here: unknown (none), teamsForBusiness, skypeForBusiness,
	// skypeForConsumer; "" where Graph does not say.
	OnlineMeetings string `json:"defaultOnlineMeetingProvider"`
	// OnlineMeetingsAllowed are those that may be asked for.
	OnlineMeetingsAllowed []string `json:"allowedOnlineMeetingProviders"`
}

// EmailAddress is the complex type "emailAddress". Either part may be empty, and the address may be no
// address at all.
type EmailAddress struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// DateTimeTimeZone is the complex type "dateTimeTimeZone": a wall-clock time ("2006-01-02T15:04:05.0000000",
// seen with a trailing "Z" too) and the zone that it is to be read in (a Windows or IANA name).
type DateTimeTimeZone struct {
	DateTime string `json:"dateTime"`
	TimeZone string `json:"timeZone"`
}

// ItemBody is the complex type "itemBody".
type ItemBody struct {
	ContentType string `json:"contentType"` // text or html
	Content     string `json:"content"`
}

// Recipient is the complex type "recipient".
type Recipient struct {
	EmailAddress EmailAddress `json:"emailAddress"`
}

// ResponseStatus is the complex type "responseStatus".
type ResponseStatus struct {
	Response string `json:"response"` // none, organizer, tentativelyAccepted, accepted, declined, notResponded
	Time     string `json:"time"`     // often 0001-01-01T00:00:00Z
}

// Attendee is the complex type "attendee".
type Attendee struct {
	Type         string         `json:"type"` // required, optional, resource
	Status       ResponseStatus `json:"status"`
	EmailAddress EmailAddress   `json:"emailAddress"`
}

// Location is the complex type "location".
type Location struct {
	DisplayName          string          `json:"displayName"`
	LocationType         string          `json:"locationType"`
	LocationEmailAddress string          `json:"locationEmailAddress"`
	LocationURI          string          `json:"locationUri"` // a room's e-mail address too
	UniqueID             string          `json:"uniqueId"`    // by uniqueIdType "directory" the e-mail address of a room
	Address              PhysicalAddress `json:"address"`
	Coordinates          Coordinates     `json:"coordinates"`
}

// PhysicalAddress is the complex type "physicalAddress".
type PhysicalAddress struct {
	Street          string `json:"street"`
	City            string `json:"city"`
	State           string `json:"state"`
	CountryOrRegion string `json:"countryOrRegion"`
	PostalCode      string `json:"postalCode"`
}

// Coordinates is the complex type "outlookGeoCoordinates". Graph sends an empty object for "none".
type Coordinates struct {
	Latitude  *float64 `json:"latitude"`
	Longitude *float64 `json:"longitude"`
}

// OnlineMeeting is the complex type "onlineMeetingInfo".
type OnlineMeeting struct {
	JoinURL      string `json:"joinUrl"`
	ConferenceID string `json:"conferenceId"`
	TollNumber   string `json:"tollNumber"`
}

// Recurrence is the complex type "patternedRecurrence".
type Recurrence struct {
	Pattern RecurrencePattern `json:"pattern"`
	Range   RecurrenceRange   `json:"range"`
}

// RecurrencePattern is the complex type "recurrencePattern". Graph fills in the properties that the type
// does not use (month 0, dayOfMonth 0, index "first").
type RecurrencePattern struct {
	Type           string   `json:"type"` // daily, weekly, absoluteMonthly, relativeMonthly, absoluteYearly, relativeYearly
	Interval       int      `json:"interval"`
	Month          int      `json:"month"`
	DayOfMonth     int      `json:"dayOfMonth"`
	DaysOfWeek     []string `json:"daysOfWeek"`     // sunday … saturday, any case
	FirstDayOfWeek string   `json:"firstDayOfWeek"` // default sunday
	Index          string   `json:"index"`          // first (default), second, third, fourth, last
}

// RecurrenceRange is the complex type "recurrenceRange". EndDate is inclusive, and "0001-01-01" where unused.
type RecurrenceRange struct {
	Type                string `json:"type"` // endDate, noEnd, numbered
	StartDate           string `json:"startDate"`
	EndDate             string `json:"endDate"`
	NumberOfOccurrences int    `json:"numberOfOccurrences"`
	RecurrenceTimeZone  string `json:"recurrenceTimeZone"`
}

// Removed is the annotation "@removed" of a delta tombstone.
type Removed struct {
	Reason string `json:"reason"` // deleted or changed
}

// Event is the resource "event", read leniently: a value of the wrong JSON type, however deep, is left at its zero value
// and named in Faults, so that one odd value never loses more than itself. Raw is the JSON exactly as Graph gave it.
type Event struct {
	Raw    json.RawMessage `json:"-"`
	Faults []string        `json:"-"` // paths of values that could not be read ("attendees[1].emailAddress.name"), sorted

	ETag                  string           `json:"@odata.etag"`
	Removed               *Removed         `json:"@removed"`
	ID                    EventID          `json:"id"`
	ICalUID               string           `json:"iCalUId"`
	Type                  string           `json:"type"`
	SeriesMasterID        EventID          `json:"seriesMasterId"`
	OccurrenceID          string           `json:"occurrenceId"` // OID.<seriesMasterId>.<yyyy-mm-dd>, the date in the series' own zone
	OriginalStart         string           `json:"originalStart"`
	OriginalStartTimeZone string           `json:"originalStartTimeZone"`
	OriginalEndTimeZone   string           `json:"originalEndTimeZone"`
	Start                 DateTimeTimeZone `json:"start"`
	End                   DateTimeTimeZone `json:"end"`
	IsAllDay              bool             `json:"isAllDay"`
	Recurrence            *Recurrence      `json:"recurrence"`
	CancelledOccurrences  []string         `json:"cancelledOccurrences"`
	ExceptionOccurrences  []Event          `json:"exceptionOccurrences"`
	MoreExceptions        string           `json:"exceptionOccurrences@odata.nextLink"`
	Subject               string           `json:"subject"`
	Body                  ItemBody         `json:"body"`
	BodyPreview           string           `json:"bodyPreview"`
	Location              Location         `json:"location"`
	Locations             []Location       `json:"locations"`
	Attendees             []Attendee       `json:"attendees"`
	HideAttendees         bool             `json:"hideAttendees"`
	Organizer             Recipient        `json:"organizer"`
	IsOrganizer           bool             `json:"isOrganizer"`
	ResponseStatus        ResponseStatus   `json:"responseStatus"`
	ResponseRequested     bool             `json:"responseRequested"`
	ShowAs                string           `json:"showAs"` // free, tentative, busy, oof, workingElsewhere, unknown
	Sensitivity           string           `json:"sensitivity"`
	Importance            string           `json:"importance"`
	IsCancelled           bool             `json:"isCancelled"`
	IsDraft               bool             `json:"isDraft"`
	IsReminderOn          bool             `json:"isReminderOn"`
	ReminderMinutes       int              `json:"reminderMinutesBeforeStart"`
	Categories            []string         `json:"categories"`
	HasAttachments        bool             `json:"hasAttachments"`
	IsOnlineMeeting       bool             `json:"isOnlineMeeting"`
	OnlineMeetingProvider string           `json:"onlineMeetingProvider"`
	OnlineMeeting         *OnlineMeeting   `json:"onlineMeeting"`
	OnlineMeetingURL      string           `json:"onlineMeetingUrl"`
	WebLink               string           `json:"webLink"`
	Created               string           `json:"createdDateTime"`
	LastModified          string           `json:"lastModifiedDateTime"`
	ChangeKey             string           `json:"changeKey"`

	// CalendarLink names the calendar that holds the event: only a GET of one event has it.
	CalendarLink string `json:"calendar@odata.navigationLink"`
}

// UnmarshalJSON reads an event leniently; see Event. It fails only where b is not a JSON object.
func (e *Event) UnmarshalJSON(b []byte) error {
	type plain Event
	var whole plain
	faults, err := readLeniently(b, &whole)
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	*e = Event(whole)
	e.Raw, e.Faults = bytes.Clone(b), faults
	if e.Removed == nil && slices.Contains(faults, "@removed") {
		e.Removed = &Removed{} // that it is there is what matters
	}
	return nil
}

// MarshalJSON writes the event as Graph gave it, or its known properties where it did not come from Graph.
func (e Event) MarshalJSON() ([]byte, error) {
	if e.Raw != nil {
		return e.Raw, nil
	}
	type plain Event
	return json.Marshal(plain(e))
}

// OccurrenceDate is the date (yyyy-mm-dd, in the series' own zone) of an occurrenceId, or "" where id has none.
// The id of the master may hold dots, so the date is what follows the last one. Its prefix counts in any case.
func OccurrenceDate(id string) string {
	id = strings.TrimSpace(id)
	if len(id) < 4 || !strings.EqualFold(id[:4], "OID.") {
		return ""
	}
	date := id[strings.LastIndexByte(id, '.')+1:]
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return ""
	}
	return date
}
