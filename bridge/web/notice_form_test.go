package web_test

import (
	"net/url"
	"strings"
	"testing"

	"outbridge/bridge"
	"outbridge/bridge/notice"
)

// The fields of the settings page come to what Shoutrrr takes, whatever is in a password, and what is wrong comes back with the fields that are no
// secrets.
func TestNoticeForm(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	kept := new(targets)
	d.handler.Notices = kept
	p := d.admin()
	for _, tc := range []struct{ fields, want string }{
		{"kind=mail&server=mail.example.com&port=587&user=me@example.com&mail-password=p%40ss%3A%2F%3F%23&from=bridge@example.com&to=me@example.com,+you@example.com",
			"smtp://me%40example.com:p%40ss%3A%2F%3F%23@mail.example.com:587/?from=bridge%40example.com&requirestarttls=yes&to=me%40example.com%2Cyou%40example.com"},
		{"kind=mail&server=mail.example.com&port=465&user=u&mail-password=p&from=a@b.example&to=c@d.example", "smtp://u:p@mail.example.com:465/?from=a%40b.example&to=c%40d.example"},
		{"kind=mail&server=127.0.0.1&port=25&from=a@b.example&to=c@d.example", "smtp://127.0.0.1:25/?from=a%40b.example&to=c%40d.example"},
		{"kind=mail&server=mail.example.com/x&from=a@b.example&to=c@d.example", ""},
		{"kind=mail&server=mail.example.com&port=0&from=a@b.example&to=c@d.example", ""},
		{"kind=mail&server=mail.example.com&from=a&to=c@d.example", ""},
		{"kind=mail&server=mail.example.com&from=a@b.example&to=", ""},
		{"kind=ntfy&topic=my-topic", "ntfy://ntfy.sh/my-topic"},
		{"kind=ntfy&ntfy-server=http://10.0.0.2:8080/&topic=t&token=tk_123", "ntfy://:tk_123@10.0.0.2:8080/t?scheme=http"},
		{"kind=ntfy&ntfy-server=ntfy.example.com&topic=", ""},
		{"kind=ntfy&ntfy-server=ftp://ntfy.example.com&topic=t", ""},
		{"kind=webhook&hook=https://example.com/hook?key=1", "https://example.com/hook?key=1"},
		{"kind=webhook&hook=example.com", ""},
		{"kind=url&address=gotify://gotify.example.com/AzyoeNS.D4iJLVa", "gotify://gotify.example.com/AzyoeNS.D4iJLVa"},
	} {
		kept.list = nil
		form, err := url.ParseQuery(tc.fields)
		if err != nil {
			t.Fatal(err)
		}
		var pairs []string
		for key, values := range form {
			pairs = append(pairs, key, values[0])
		}
		got := p.post("/settings/notify", pairs...)
		address := ""
		if len(kept.list) > 0 {
			address = kept.list[0].URL
		}
		if address != tc.want || (got.StatusCode == 303) != (tc.want != "") {
			t.Errorf("%s: %d, %q", tc.fields, got.StatusCode, address)
		}
		if tc.want == "" && form.Get("from") != "" && !strings.Contains(got.body, form.Get("from")) {
			t.Errorf("%s: the sender does not come back", tc.fields)
		}
		if tc.want == "" {
			continue
		}
		if _, err := notice.Normal(address); err != nil {
			t.Errorf("%s: nothing can be sent to it", tc.fields)
		}
		if where := notice.Described(bridge.NoticeTarget{URL: address}); strings.Contains(where.Where, "tk_") || strings.Contains(where.Where, "ss") {
			t.Errorf("%s: shown as %+v", tc.fields, where)
		}
	}
}
