package graph_test

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"outbridge/bridge/graph"
)

// TestErrorsOfTheLoginService has a row for each answer of the documentation, and for each number that has advice.
func TestErrorsOfTheLoginService(t *testing.T) {
	files := map[string]struct {
		number int
		signIn bool
		reason graph.Reason
	}{
		"token-error-50076-mfa.json":                {50076, true, graph.ReasonMultiFactor},
		"token-error-50173-revoked.json":            {50173, true, graph.ReasonRevoked},
		"token-error-53003-conditional-access.json": {53003, false, graph.ReasonConditionalAccess},
		"token-error-65001-consent.json":            {65001, true, graph.ReasonConsentMissing},
		"token-error-7000222-secret-expired.json":   {7000222, false, graph.ReasonSecretExpired},
		"token-error-700082-inactive.json":          {700082, true, graph.ReasonExpired},
		"token-error-invalid-scope.json":            {70011, false, graph.ReasonPermissions},
		"token-error-authorization-pending.json":    {70016, false, graph.ReasonRefused},
	}
	if found, _ := filepath.Glob("testdata/token-error-*.json"); len(found) != len(files) {
		t.Errorf("%d examples, %d expectations", len(found), len(files))
	}
	for name, want := range files {
		e := refuse(t, 400, string(testdata(t, name)))
		if e.AADSTS != want.number || signsIn(e) != want.signIn || e.Reason != want.reason {
			t.Errorf("%s: %+v", name, *e)
		}
		if (e.Claims != "") != (want.number == 50076) || (e.SubError != "") != (want.number == 65001) || (want.number == 70011) && e.TraceID != "0000aaaa-11bb-cccc-dd33-eeeeee333333" {
			t.Errorf("%s: %+v", name, *e)
		}
		checkSentence(t, e)
	}
	if e := refuse(t, 400, `{"error":"invalid_grant","error_codes":[50173],"error_description":"AADSTS50076: not this one"}`); e.AADSTS != 50173 {
		t.Errorf("%+v", *e)
	}
	generic := refuse(t, 400, `{"error":"invalid_grant","error_codes":[99999]}`)
	if !signsIn(generic) || generic.AADSTS != 99999 {
		t.Errorf("%+v", *generic)
	}
	for _, n := range []int{70018, 70019, 700082, 70008, 700084, 50173, 50132, 50133, 70043, 50076, 50078, 50079, 50072, 50074, 53003, 53000, 53001, 65001, 65004, 90094, 90095,
		50055, 50057, 50053, 50034, 50105, 54005, 501481, 50158, 500121, 50058, 16000, 700023, 700024, 700030, 7000229, 7000112, 70001, 50011, 500112, 500113,
		50059, 50128, 65005, 500011, 1002012, 650055, 7000215, 7000222, 7000218, 700025, 700027, 700016, 90002, 900023, 50020, 50194, 9002332, 9001023, 900432,
		70011, 28002, 28003, 650052, 650053, 650054, 650056, 650057} {
		// The number counts wherever it stands, and whatever the code beside it is.
		for _, body := range []string{`{"error":"invalid_grant","error_codes":[99999,%d]}`, `{"error":"invalid_grant","error_description":"AADSTS%d: Words."}`, `{"error":"x","error_codes":["%d"]}`} {
			e := refuse(t, 400, fmt.Sprintf(body, n))
			if e.AADSTS != n || e.Reason == generic.Reason || e.Reason == graph.ReasonRefused || e.Fixer == "" {
				t.Errorf("%d: %+v", n, *e)
			}
		}
	}
	for _, n := range []int{53000, 53001, 53003, 90094, 90095, 50057, 50053, 50105, 650052} { // an administrator's to mend
		if e := refuse(t, 400, fmt.Sprintf(`{"error":"invalid_grant","error_codes":[%d]}`, n)); e.Fixer != graph.Administrator || graph.IsSignInNeeded(e) {
			t.Errorf("%d: %+v", n, *e)
		}
	}
	for description, lifetime := range map[string]time.Duration{ // how often is only in the words
		"The token was issued on 2026-02-01T08:00:00Z and the maximum allowed lifetime for this request is 604800.": 7 * 24 * time.Hour,
		"… the maximum allowed lifetime for this request is 86400. Trace":                                           24 * time.Hour,
		"… the maximum allowed lifetime for this request is 43200":                                                  12 * time.Hour,
		"… the maximum allowed lifetime for this request is 0.":                                                     0,
		"due to sign-in frequency checks by conditional access":                                                     0,
	} {
		e := refuse(t, 400, fmt.Sprintf(`{"error":"invalid_grant","error_codes":[70043],"error_description":"AADSTS70043: %s"}`, description))
		if e.Lifetime != lifetime || e.Reason != graph.ReasonFrequency || !signsIn(e) {
			t.Errorf("%s: %+v", description, *e)
		}
	}
	for code, signIn := range map[string]bool{"invalid_grant": true, "interaction_required": true, "consent_required": true, "login_required": true, "invalid_client": false, "unauthorized_client": false,
		"invalid_scope": false, "access_denied": true, "expired_token": true, "never_heard_of": false} {
		if e := refuse(t, 400, `{"error":"`+code+`"}`); signsIn(e) != signIn || e.Reason == "" || e.Code != code {
			t.Errorf("%s: %+v", code, *e)
		}
	}
}

// signsIn reports that a person ends the refusal, in both ways to ask.
func signsIn(e *graph.AuthError) bool { return e.Fixer == graph.Person && graph.IsSignInNeeded(e) }

// refuse is the final error of a token request that is answered so.
func refuse(t *testing.T, status int, body string) *graph.AuthError {
	t.Helper()
	a := authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		reply{status: status, body: body}.write(w)
	}))
	_, err := a.Exchange(t.Context(), "http://localhost/", "code", "verifier")
	var e *graph.AuthError
	if !errors.As(err, &e) {
		t.Fatalf("%s: not an AuthError: %v", body, err)
	}
	return e
}

func FuzzTokenErrors(f *testing.F) {
	files, _ := filepath.Glob("testdata/token-*.json")
	for _, file := range files {
		f.Add(400, testdata(f, filepath.Base(file)))
	}
	f.Add(401, []byte(`{"error":"a\nb","error_codes":[1e9,"x",null,-3],"claims":"{"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		a := authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reply{status: status, body: string(body)}.write(w) }))
		a.ClientSecret = "secret"
		tok, err := a.Exchange(t.Context(), "http://localhost/", "code", "verifier")
		if (tok == nil) == (err == nil) {
			t.Fatalf("token %v, error %v", tok, err)
		}
		if err == nil {
			return
		}
		var final *graph.AuthError
		if errors.As(err, &final) == graph.IsUnavailable(err) {
			t.Errorf("neither final nor transient: %v", err)
		}
		checkSentence(t, err)
	})
}
