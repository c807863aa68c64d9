package graph

import (
	"net/http"
	"strings"
)

// Fault is why Graph refuses a write, where that lies in what was written or in what there is.
type Fault string

const (
	FaultNone       Fault = ""            // it was not refused, or trouble that has nothing to do with it
	FaultConflict   Fault = "conflict"    // it has changed since: read it again
	FaultDuplicate  Fault = "duplicate"   // the transactionId has made an event before: see DuplicateOf
	FaultGone       Fault = "gone"        // there is no such event or occurrence (any more)
	FaultDeleted    Fault = "deleted"     // of a DELETE: it may lie in the deleted items already
	FaultCrossing   Fault = "crossing"    // an occurrence would reach or pass the day of its neighbour
	FaultTooLong    Fault = "too-long"    // an occurrence would last until the next one
	FaultZone       Fault = "zone"        // a time zone that Graph does not know
	FaultOrganizer  Fault = "organizer"   // only the organizer may do so, or only an invitee
	FaultRecipients Fault = "recipients"  // an address that cannot be mailed to
	FaultRecurrence Fault = "recurrence"  // a recurrence without an occurrence, or one that ends too late
	FaultDenied     Fault = "denied"      // the calendar or the permissions do not allow it
	FaultQuota      Fault = "quota"       // the mailbox is full
	FaultTooLarge   Fault = "too-large"   // the request or the item
	FaultInvalid    Fault = "invalid"     // anything else about its contents
	FaultNotOffered Fault = "not-offered" // Graph has no such thing here
)

var faultCodes = map[string]Fault{
	"erroroccurrencecrossingboundary":                    FaultCrossing,
	"erroroccurrencetimespantoobig":                      FaultTooLong,
	"timezonenotsupportedexception":                      FaultZone,
	"errortimezone":                                      FaultZone,
	"errorduplicatetransactionid":                        FaultDuplicate,
	"errorirresolvableconflict":                          FaultConflict,
	"errorchangekeyrequired":                             FaultConflict,
	"errorstaleobject":                                   FaultConflict,
	"erroritemnotfound":                                  FaultGone,
	"errorcalendaroccurrenceisdeletedfromrecurrence":     FaultGone,
	"errorcalendaroccurrenceindexisoutofrecurrencerange": FaultGone,
	"errorinvalididmalformed":                            FaultGone,
	"errorinvalidrecipients":                             FaultRecipients,
	"errorinvalidsmtpaddress":                            FaultRecipients,
	"errorrecurrencehasnooccurrence":                     FaultRecurrence,
	"errorrecurrenceenddatetoobig":                       FaultRecurrence,
	"errorcalendarisnotorganizerforaccept":               FaultOrganizer,
	"errorcalendarisorganizerforaccept":                  FaultOrganizer,
	"errorcalendarisorganizerfordecline":                 FaultOrganizer,
	"errorcalendarisorganizerfortentative":               FaultOrganizer,
	"erroraccessdenied":                                  FaultDenied,
	"errordelegatedcalendaraccessdenied":                 FaultDenied,
	"delegatedcalendaraccessdenied":                      FaultDenied,
	"errorquotaexceeded":                                 FaultQuota,
	"errormessagesizeexceeded":                           FaultTooLarge,
	"errorattachmentsizelimitexceeded":                   FaultTooLarge,
	"requestbodytoolarge":                                FaultTooLarge,
}

// WriteFault tells why Graph refused a write. Where the error is also ErrMayHaveHappened, the reason may be that it was carried out
// before: FaultConflict, FaultGone, FaultDeleted and FaultDuplicate.
func WriteFault(err error) Fault {
	e := asError(err)
	if e == nil {
		return FaultNone
	}
	return faultOf(e)
}

func faultOf(e *Error) Fault {
	if e.garbled || e.login || e.Claims != "" || e.Status/100 == 2 || e.transient() && e.Status != http.StatusInsufficientStorage {
		return FaultNone
	}
	if f, ok := faultCodes[strings.ToLower(e.Code)]; ok {
		return f
	}
	switch e.Status {
	case http.StatusBadRequest:
		switch {
		case strings.Contains(strings.ToLower(e.Message), "organizer"):
			return FaultOrganizer
		case strings.HasPrefix(e.Op, "delete ") && strings.EqualFold(e.Code, "ErrorInvalidRequest"):
			return FaultDeleted
		}
		return FaultInvalid
	case http.StatusForbidden:
		return FaultDenied
	case http.StatusNotFound:
		if IsNotFound(e) {
			return FaultGone
		}
		return FaultNone
	case http.StatusConflict, http.StatusPreconditionFailed:
		return FaultConflict
	case http.StatusRequestEntityTooLarge:
		return FaultTooLarge
	case http.StatusInsufficientStorage:
		return FaultQuota
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return FaultNotOffered
	}
	return FaultNone
}

// DuplicateOf reports that a Create was refused since its transactionId has made an event before, and which one, where Graph says so:
// else the id is "", and FindByProperty finds it (Graph annotates the error with "@event.existingEventId").
func DuplicateOf(err error) (id EventID, ok bool) {
	e := asError(err)
	if e == nil || faultOf(e) != FaultDuplicate {
		return "", false
	}
	return e.existing, true
}
