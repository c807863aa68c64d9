package graph_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge/graph"
)

// deviceService plays the device code flow: one answer of the token endpoint for each poll.
func deviceService(t *testing.T, polls *[]time.Duration, answers ...reply) http.Handler {
	began := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /contoso.example/oauth2/v2.0/devicecode", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_id") != "client" || r.PostFormValue("scope") != "https://graph.example.com/Calendars.Read https://graph.example.com/User.Read offline_access" {
			t.Errorf("asked %v", r.PostForm)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(testdata(t, "devicecode-response.json"))
	})
	mux.HandleFunc("POST /contoso.example/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:device_code" || r.PostFormValue("device_code") != "foo" || r.PostFormValue("client_id") != "client" || r.PostForm.Has("client_secret") {
			t.Errorf("asked %v", r.PostForm)
		}
		*polls = append(*polls, time.Since(began))
		w.Header().Set("Content-Type", "application/json")
		answers[min(len(*polls), len(answers))-1].write(w)
	})
	return mux
}

func TestDeviceCode(t *testing.T) {
	pending := reply{status: 400, body: string(testdata(t, "token-error-authorization-pending.json"))}
	success := reply{status: 200, body: string(testdata(t, "token-success-device.json"))}
	seconds := func(s ...int) (d []time.Duration) {
		for _, n := range s {
			d = append(d, time.Duration(n)*time.Second)
		}
		return d
	}
	for _, test := range []struct {
		name    string
		answers []reply
		polls   []time.Duration // nil: until the code ends
		code    string          // of the AuthError, "" for success
	}{
		{"signed in", []reply{pending, pending, success}, seconds(5, 10, 15), ""},
		{"slow down", []reply{pending, {status: 400, body: `{"error":"slow_down"}`}, pending, success}, seconds(5, 10, 20, 30), ""},
		{"outages", []reply{pending, {status: 503}, {status: 200, abort: true}, {status: 400, body: `{"error":"temporarily_unavailable"}`}, success}, seconds(5, 10, 20, 35, 55), ""},
		{"declined", []reply{pending, {status: 400, body: `{"error":"authorization_declined","error_codes":[65004]}`}}, seconds(5, 10), "authorization_declined"},
		{"wrong code", []reply{{status: 400, body: `{"error":"bad_verification_code","error_codes":[70018]}`}}, seconds(5), "bad_verification_code"},
		{"expired", []reply{{status: 400, body: `{"error":"expired_token","error_codes":[70019]}`}}, seconds(5), "expired_token"},
		{"blocked", []reply{pending, {status: 400, body: string(testdata(t, "token-error-53003-conditional-access.json"))}}, seconds(5, 10), "invalid_grant"},
		{"no public client", []reply{{status: 401, body: `{"error":"invalid_client","error_codes":[7000218]}`}}, seconds(5), "invalid_client"},
		{"nobody came", []reply{pending}, nil, "expired_token"},
		{"no lasting sign-in", []reply{{status: 200, body: `{"access_token":"a","expires_in":3599}`}}, seconds(5), "no_refresh_token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var polls []time.Duration
				began := time.Now()
				a := authority(deviceService(t, &polls, test.answers...))
				d, err := a.DeviceCode(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if d.UserCode != "A62NXK96N" || d.VerificationURI != "https://microsoft.com/devicelogin" || !d.Expires.Equal(began.Add(15*time.Minute)) || !strings.HasPrefix(d.Message, "To sign in, use a web browser") {
					t.Errorf("device code %+v", d)
				}
				tok, err := a.Wait(t.Context(), d.DeviceSecret)
				if test.polls != nil && !slices.Equal(polls, test.polls) || test.polls == nil && time.Since(began) != 15*time.Minute {
					t.Errorf("polled at %v, ended after %v", polls, time.Since(began))
				}
				if test.code == "" {
					if err != nil || tok.AccessToken == "" || tok.RefreshToken == "" || tok.Expiry.Before(time.Now()) {
						t.Errorf("token %v, %v", tok, err)
					}
					return
				}
				var e *graph.AuthError
				if !errors.As(err, &e) || e.Code != test.code || tok != nil {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

func TestDeviceCodeEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var polls []time.Duration
		a := authority(deviceService(t, &polls, reply{status: 503}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d, err := a.DeviceCode(ctx)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := a.Wait(ctx, d.DeviceSecret); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		a = authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began = time.Now()
		if _, err := a.DeviceCode(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("error %v", err)
		}
	})
}

func TestDeviceCodeRefused(t *testing.T) {
	for body, final := range map[string]bool{`{"error":"unauthorized_client","error_codes":[700016]}`: true, `{}`: false, `<html>`: false, `{"device_code":"x"}`: false, `{"error":"invalid_request","error_codes":[90002]}`: true} {
		status := 400
		if strings.Contains(body, "device_code") {
			status = 200
		}
		a := authority(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reply{status: status, body: body}.write(w) }))
		_, err := a.DeviceCode(t.Context())
		var e *graph.AuthError
		if errors.As(err, &e) != final || graph.IsUnavailable(err) == final {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestAuthorizationCodeOverHTTP(t *testing.T) {
	var form url.Values
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		form = r.PostForm
		w.Header().Set("Content-Type", "application/json")
		w.Write(testdata(t, "token-success-refresh.json"))
	}))
	defer srv.Close()
	a := &graph.Authority{LoginURL: srv.URL, ClientID: "client", ClientSecret: "s", Scopes: graph.Scopes("https://graph.microsoft.us")}
	u, err := url.Parse(a.AuthCodeURL("http://127.0.0.1/back", "state", "verifier-of-43-characters-or-more-0123456789ab", `{"a":1}`))
	if err != nil || u.Path != "/common/oauth2/v2.0/authorize" {
		t.Fatal(u, err)
	}
	q := u.Query()
	for name, want := range map[string]string{"client_id": "client", "redirect_uri": "http://127.0.0.1/back", "response_type": "code", "state": "state", "code_challenge_method": "S256",
		"prompt": "select_account", "claims": `{"a":1}`, "scope": "https://graph.microsoft.us/Calendars.Read https://graph.microsoft.us/User.Read offline_access"} {
		if q.Get(name) != want {
			t.Errorf("%s = %q", name, q.Get(name))
		}
	}
	if q.Get("code_challenge") == "" || strings.Contains(u.String(), "verifier") {
		t.Errorf("%s", u)
	}
	tok, err := a.Exchange(t.Context(), "http://127.0.0.1/back", "the code", "verifier")
	if err != nil || !strings.HasPrefix(tok.RefreshToken, "AwABAAAAvPM1KaPlrEqdFSBzjqfTGAMxZGUTdM0t4B4") {
		t.Errorf("%v, %v", tok, err)
	}
	if form.Get("code") != "the code" || form.Get("code_verifier") != "verifier" || form.Get("client_secret") != "s" || form.Get("grant_type") != "authorization_code" || form.Get("redirect_uri") != "http://127.0.0.1/back" {
		t.Errorf("asked %v", form)
	}
}

// An app registration with a secret may have people sign in as a public client too: then the secret is left out.
func TestPublicClientBesideASecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		login := &loginService{good: map[string]bool{"first": true}}
		login.answer = func(form url.Values) *reply {
			if form.Has("client_secret") {
				return &reply{status: 401, body: `{"error":"invalid_client","error_codes":[700025]}`}
			}
			return nil
		}
		a := authority(login)
		a.ClientSecret = "secret"
		if tok, err := a.Exchange(t.Context(), "http://localhost:1", "code", "verifier"); err != nil || tok.AccessToken != "access-1" {
			t.Errorf("%v, %v", tok, err)
		}
		if tok, err := a.Wait(t.Context(), deviceAuth(t, a).DeviceSecret); err != nil || tok.AccessToken != "access-2" {
			t.Errorf("%v, %v", tok, err)
		}
		checkToken(t, &graph.DelegatedTokens{Authority: a, Store: &memoryStore{tok: &oauth2.Token{RefreshToken: "first"}}}, "access-3")
		a.ClientSecret = ""
		login.answer = func(url.Values) *reply {
			return &reply{status: 401, body: `{"error":"invalid_client","error_codes":[700025]}`}
		}
		before := len(login.forms)
		var e *graph.AuthError
		if _, err := a.Exchange(t.Context(), "http://localhost:1", "code", "verifier"); !errors.As(err, &e) || e.AADSTS != 700025 || len(login.forms) != before+1 {
			t.Errorf("%d requests, %v", len(login.forms)-before, err)
		}
	})
}

// deviceAuth starts a device code sign-in at a login service that only has a token endpoint.
func deviceAuth(t *testing.T, a *graph.Authority) *graph.DeviceAuth {
	t.Helper()
	starter := *a
	starter.HTTP = &http.Client{Transport: inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(testdata(t, "devicecode-response.json"))
	})}}
	d, err := starter.DeviceCode(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLoginDoesNotFollowRedirects(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		t.Errorf("sent elsewhere: %s", b)
	}))
	defer elsewhere.Close()
	srv := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	s := &graph.AppTokens{Authority: &graph.Authority{LoginURL: srv.URL, Tenant: "t", ClientID: "c", ClientSecret: "s"}}
	if _, err := s.Token(t.Context()); !graph.IsUnavailable(err) {
		t.Errorf("error %v", err)
	}
}
