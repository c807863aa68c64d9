// Package ics reads and writes iCalendar (RFC 5545): octets, and the times that they stand for. It knows no DAV and no
// Outlook.
//
//   - What [Decode] has read, [Encode] writes, and Decode then reads it as the same: what cannot be written, such as a
//     control character, is not read either. No value can begin another line, and no line is longer than 75 octets.
//   - Nothing that is read makes it panic, or work without bound: a [Reader] counts its steps and ends in [ErrTooMany].
//   - A clock time has one instant, also where the clock is turned ([Instant]).
//   - An instance is yielded once. What cannot be read as RFC 5545 says is an error, not another list of instances.
//
// Lines.go, encode.go, decode.go and moment.go make up for what go-ical leaves out. They use nothing else of this
// package, and could be part of go-ical as they are.
package ics
