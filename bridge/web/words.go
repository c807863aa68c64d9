package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
)

// Words say to a person what a fault is. The sentence is the same on a page and in a terminal; how to fix it differs, see
// Action.
type Words struct {
	Sentence string
	// Fix is how to fix it, without a full stop. If a sign-in is part of that, it is what to do before, or "".
	Fix string
	// AfterSignIn follows the instruction to sign in: " and accept the permissions".
	AfterSignIn string
}

const (
	askAdministrator Text = "Ask the administrator of the organization"
	fixApp           Text = "Correct the client ID and the client secret or certificate to match the app registration"
	fixTenant        Text = "Correct the tenant and the cloud in the configuration; the app registration says which accounts it supports"
	fixPermissions   Text = "Add to the app registration the Microsoft Graph permissions Calendars.Read, User.Read and offline_access, and those that switched-on options need (see the configuration file)"
)

// wording is Words as texts.
type wording struct {
	Sentence, Fix, After Text
}

// words are the wording for each reason. Those of graph are literals because this package does not import it.
var words = map[bridge.Reason]wording{
	"never-signed-in":   {"Nobody has signed in to this account yet.", "", ""},
	"multi-factor":      {"The organization requires multi-factor authentication.", "", ""},
	"expired":           {"The sign-in has expired, since it was not used for too long.", "", ""},
	"revoked":           {"The sign-in was revoked or the password has changed.", "", ""},
	"sign-in-frequency": {"The organization ends every sign-in after a fixed time, and this one has ended.", "", "; it will be needed again after the same time"},
	"single-page-app": {"The sign-in ended after 24 hours, which is the limit for a redirect URI of a single-page app.",
		"Move the redirect URI to another platform in the app registration", ""},
	"interaction":      {"Microsoft asks the person to sign in again.", "", ""},
	"consent-missing":  {"Nobody has consented to the permissions that the app asks for.", "", " and accept the permissions"},
	"declined":         {"The sign-in was declined.", "", " and accept"},
	"code-expired":     {"The code was not entered in time, or is no longer valid.", "", " and enter the new code"},
	"restarted":        {"The sign-in took too long, was started in another window, or was completed twice.", "", ""},
	"token-rejected":   {"Microsoft no longer accepts the stored sign-in.", "", ""},
	"not-lasting":      {"Microsoft did not issue a refresh token, so the sign-in would end within the hour.", "Grant the app the permission offline_access", ""},
	"password-expired": {"The password of the account has expired or has to be changed.", "Change the password", ""},
	"password-wrong":   {"The user name or the password is wrong.", "", ""},

	"admin-consent":      {"An administrator has to allow the app in this organization first.", "Ask the administrator to grant admin consent to the app", ""},
	"unmanaged-device":   {"The organization only allows managed devices, and this is not one.", "Ask the administrator for an exception, or use app-only access", ""},
	"foreign-device":     {"The organization only allows devices of its domain, and this is not one.", "Ask the administrator for an exception, or use app-only access", ""},
	"conditional-access": {"A Conditional Access policy of the organization blocks this sign-in.", "Ask the administrator to allow the app or the device code flow", ""},
	"app-not-approved":   {"A policy of the organization only lets approved apps or apps with an Intune policy in.", "Ask the administrator to except the app from that policy, or use app-only access", ""},
	"account-risk":       {"The organization takes the account or this sign-in for a risk.", "Ask the administrator to look at the account under risky users", ""},
	"tenant-restricted":  {"The network or another organization's policy does not let accounts of this tenant in.", "Ask the administrator of the network or of the cross-tenant access to allow the tenant", ""},
	"tenant-blocked":     {"The tenant is blocked or was given up.", "Ask the administrator to have Microsoft restore it", ""},
	"federation":         {"The organization's own sign-in service has trouble.", askAdministrator, ""},
	"app-disabled":       {"The app is disabled in this organization.", askAdministrator, ""},
	"account-locked":     {"The account is locked, after too many failed sign-ins or sign-ins from a suspicious address.", "Wait a few hours or ask the administrator", ""},
	"account-disabled":   {"The account is disabled.", askAdministrator, ""},
	"account-unassigned": {"The account is not assigned to the app.", "Ask the administrator to assign it in the enterprise application", ""},
	"service-missing":    {"The organization has no subscription to Microsoft Graph's calendar, or has not enabled it.", askAdministrator, ""},

	"account-unknown":     {"The account does not exist in this tenant.", "Check the address and the tenant in the configuration", ""},
	"wrong-tenant":        {"The account or the app does not belong to the configured tenant or cloud.", fixTenant, ""},
	"personal-account":    {"This is a personal account, and the app or its tenant takes only others.", "Use a work or school account, or let the app registration support personal accounts and set tenant to common or consumers", ""},
	"personal-only":       {"The app takes personal accounts only.", "Set tenant to consumers in the configuration, or let the app registration support work and school accounts", ""},
	"organizations-only":  {"The app takes no personal accounts.", "Set tenant to organizations or to the organization's ID in the configuration, or let the app registration support personal accounts", ""},
	"tenant-missing":      {"App-only access needs the organization's own tenant.", "Set tenant in the configuration to its ID or domain", ""},
	"app-unknown":         {"The app is not known in this tenant.", "Correct client_id and tenant in the configuration, or have an administrator add the app to the organization", ""},
	"app-credentials":     {"Microsoft does not accept the app's own credentials.", fixApp, ""},
	"secret-wrong":        {"The client secret is wrong.", "Use the secret's value, not its ID", ""},
	"secret-expired":      {"The client secret has expired.", "Make a new client secret in the app registration, and use its value in place of the old one", ""},
	"secret-missing":      {"The app registration asks for a client secret or a certificate.", "Allow public client flows in the app registration, or give the bridge a client secret or certificate", ""},
	"secret-unexpected":   {"The app is a public client, which has no secret.", "Take the client secret or certificate out of the configuration, or off the App registration page", ""},
	"certificate-refused": {"Microsoft does not accept the certificate of the app.", "Upload the certificate (that of certificate_file, or of the App registration page) in the app registration, and check the clock", ""},
	"certificate-expired": {"The app's certificate has expired.", "Make a new one, upload it in the app registration, and put it and its key in place of the old ones", ""},
	"clock":               {"Microsoft does not accept the time in the app's signature.", "Correct the clock of this machine", ""},
	"permissions-unknown": {"Microsoft does not know the permissions that the app asks for.", fixPermissions, ""},
	"redirect-uri": {"The app registration does not list the address that Microsoft sends the browser back to.",
		"Add this bridge's own address as a redirect URI of the platform \"Web\" in the app registration, or sign in with a code", ""},
	"flow-not-allowed": {"The app registration does not allow this kind of sign-in.", fixApp, ""},
	"refused":          {"Microsoft refuses the sign-in.", "Look up the error at https://login.microsoftonline.com/error", ""},

	"proxy-sign-in":  {"The proxy on the way to Microsoft asks for a sign-in.", "Put the user and the password for it into HTTPS_PROXY, as http://user:password@proxy:port", ""},
	"captive-portal": {"A page of the network answers in Microsoft's place.", "Sign in to the network, or set HTTPS_PROXY where it wants a proxy; it is tried again by itself", ""},
	"unknown-ca":     {"The certificate that stands for Microsoft is of an authority that this machine does not know, as where a proxy inspects TLS.", "Name the file with the proxy's CA certificate in SSL_CERT_FILE", ""},

	bridge.ReasonSignInRefused: {"Microsoft Graph does not accept the sign-in.", "", ""},
	bridge.ReasonPolicy:        {"A policy of the organization asks for a new sign-in.", "", ""},
	bridge.ReasonShared: {"The calendar of {address} cannot be read.", "Have it shared with you in Outlook (with the right to see all details)",
		" so that Calendars.Read.Shared is granted; or take the address out of the Options page of the account, or of shared in the configuration"},
	bridge.ReasonDenied:         {"Microsoft Graph denies access to a calendar.", "Check that the app has the permission Calendars.Read and that the calendar is shared with you", ""},
	bridge.ReasonMailboxMissing: {"Microsoft 365 has no usable mailbox for this account.", "Check the address, its licence, and that the mailbox is in Exchange Online", ""},
	bridge.ReasonNoCalendars:    {"No calendar of this account is left to sync.", "Tick at least one on the Options page of the account, or correct include and exclude in the configuration", ""},
	bridge.ReasonDirectoryDenied: {"Microsoft Graph does not let the app read the organization's directory.",
		"Grant the application permissions GroupMember.Read.All and User.Read.All to the app registration, with admin consent; everybody is served as before until then", ""},
	bridge.ReasonPeopleHidden: {"Microsoft Graph lists the members without their names and addresses.",
		"Grant the application permission User.Read.All to the app registration, with admin consent; everybody is served as before until then", ""},
	bridge.ReasonGroupMissing: {"A group of the configuration is not in the organization's directory.",
		"Correct organization.groups in the configuration: the object ids of groups; everybody is served as before until then", ""},
	bridge.ReasonThrottled:   {"Microsoft asks to slow down.", "There is nothing to do: the bridge tries again automatically", ""},
	bridge.ReasonUnreachable: {"Microsoft's service cannot be reached.", "Check the network; the bridge tries again automatically", ""},
	bridge.ReasonUnavailable: {"Microsoft's service is not available at the moment.", "There is nothing to do: the bridge tries again automatically", ""},
	bridge.ReasonBusy:        {"Another program holds the database, or its server cannot be reached.", "End that program, or wait", ""},
	bridge.ReasonOther:       {"", "The bridge tries again; check the log if the problem persists", ""},
	bridge.ReasonWords:       {"", "", ""},
}

// onceMore are the reasons of which the instruction to sign in says in a terminal that it is to be done again; on a page it always
// says so.
var onceMore = []bridge.Reason{"declined", "code-expired", "restarted", "password-wrong"}

// WordsFor returns the words for a fault, in English. The sentence is only empty if there is no fault.
func WordsFor(f bridge.Fault) Words {
	w := wordingFor(f)
	words := Words{w.Sentence.String(), w.Fix.String(), w.After.String()}
	if slices.Contains(onceMore, f.Reason) {
		words.AfterSignIn = " again" + words.AfterSignIn
	}
	return words
}

func wordingFor(f bridge.Fault) wording {
	w := words[f.Reason]
	switch f.Reason {
	case "":
		return wording{}
	case bridge.ReasonShared:
		w.Sentence = With(w.Sentence, f.Address)
	case "sign-in-frequency":
		if every := often(f.Duration); every != "" {
			w.Sentence = With("The organization requires a new sign-in {often}.", every)
		}
	case "admin-consent":
		if f.Link != "" {
			w.Fix = With("Ask the administrator to open {link} and to accept", f.Link)
		}
	case "refused":
		if f.AADSTS != 0 {
			w.Fix = With("Look up {code} at https://login.microsoftonline.com/error", fmt.Sprint("AADSTS", f.AADSTS))
		}
	case bridge.ReasonWords:
		w.Fix = map[bridge.Action]Text{bridge.ActionAskAndSignIn: askAdministrator, bridge.ActionConfigure: "Check the configuration and the app registration"}[f.Action]
	}
	if w.Sentence == "" && !Technical(f.Detail) {
		w.Sentence = Kept(f.Detail)
	}
	w.Sentence = cmp.Or(w.Sentence, Unknown)
	if f.Said != "" {
		w.Sentence = With("{sentence} Microsoft says: \"{said}.\"", w.Sentence, strings.TrimSuffix(f.Said, "."))
	}
	return w
}

// Action is how to fix the fault, in one sentence. signIn is the instruction to sign in where the person is: "run …".
func (w Words) Action(f bridge.Fault, signIn string) string {
	fix := w.Fix
	if f.Action.SignsIn() {
		step := signIn + w.AfterSignIn
		if fix == "" {
			fix = strings.ToUpper(step[:1]) + step[1:]
		} else {
			fix += ", then " + step
		}
	}
	if fix == "" {
		return ""
	}
	return strings.TrimSuffix(fix, ".") + "."
}

// action is how to fix the fault, on a page.
func (w wording) action(f bridge.Fault) Text {
	switch {
	case f.Action.SignsIn() && w.Fix == "":
		return With("Sign in again{after}.", w.After)
	case f.Action.SignsIn():
		return With("{fix}, then sign in again{after}.", w.Fix, w.After)
	case w.Fix == "":
		return ""
	}
	return With("{fix}.", w.Fix)
}

// faultText is a fault on one line.
func (l *Language) faultText(f bridge.Fault) string {
	w := wordingFor(f)
	return strings.TrimSpace(l.Text(w.Sentence) + " " + l.Text(w.action(f)))
}

// often says how often something is that comes after a whole number of days, hours or minutes; "" for any other duration.
func often(d time.Duration) Text {
	switch {
	case d < time.Minute || d%time.Minute != 0:
		return ""
	case d%day == 0:
		return Counted(int(d/day), "every day", "every {n} days")
	case d%time.Hour == 0:
		return Counted(int(d/time.Hour), "every hour", "every {n} hours")
	}
	return Counted(int(d/time.Minute), "every minute", "every {n} minutes")
}
