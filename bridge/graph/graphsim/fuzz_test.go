package graphsim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// FuzzRequest: whatever is asked, the answer is JSON with a sane status, and nothing panics.
func FuzzRequest(f *testing.F) {
	for _, seed := range [][4]string{
		{"GET", "me/" + march, "", immutable},
		{"GET", "me/calendarView/delta?$deltatoken=R0us%2B", "", `odata.maxpagesize=3, outlook.timezone="UTC"`},
		{"GET", "me/events?$filter=start/dateTime%20ge%20'2026-01-01'%20and%20subject%20eq%20'a%20and%20b'&$top=3&$skip=1", "", "odata.maxpagesize=0"},
		{"GET", "me/events/OID.AAkALgAAAAAA.2026-03-02?$select=id,start&$expand=exceptionOccurrences($select=id)", "", `outlook.timezone="../etc/passwd"`},
		{"GET", "me/events('AAMkA%2F..')/instances?startDateTime=0001-01-01T00:00:00Z&endDateTime=9999-12-31T00:00:00Z", "", `a="b,c`},
		{"POST", "me/events", lunch, ""},
		{"POST", "$batch", `{"requests":[{"id":"1","method":"GET","url":"/me"},{"id":"2","method":"PATCH","url":"%zz","dependsOn":["1"]}]}`, ""},
		{"PATCH", "me/events/EVENT", `{"recurrence":{"pattern":{"type":"daily","interval":1},"range":{"type":"numbered","startDate":"2026-03-02","numberOfOccurrences":3}}}`, ""},
		{"DELETE", "users/a@contoso.example/events/EVENT", "", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, method, target, body, prefer string) {
		s := &graphsim.Server{AutoApprove: true, Now: func() time.Time { return at("2026-03-02 09:00") }}
		id := s.AddMailbox("a@contoso.example", "A", "UTC").Calendar().Create(weekly("s", "2026-03-02 10:00"))
		client, token := inProcess(t, s)
		r, err := http.NewRequest(method, "http://graph.example/v1.0/"+strings.ReplaceAll(target, "EVENT", string(id)), strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.Header["Authorization"] = []string{"Bearer " + token}
		r.Header["Prefer"] = []string{prefer}
		res, err := client.Do(r)
		if err != nil {
			t.Skip()
		}
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode < 200 || res.StatusCode > 599 || len(b) > 0 && !json.Valid(b) && strings.HasPrefix(r.URL.Path, "/v1.0/") {
			t.Errorf("%s %s: %d %s", method, target, res.StatusCode, b)
		}
	})
}
