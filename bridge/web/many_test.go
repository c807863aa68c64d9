package web_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestManyAccounts: the front page of very many accounts shows some, and finds the others by name or address.
func TestManyAccounts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	p := d.admin()
	cards := func(path string) (n int, body string) {
		t.Helper()
		got := p.get(path)
		return strings.Count(got.body, `class="card account"`), got.body
	}
	if n, body := cards("/"); n != 1 || strings.Contains(body, `role="search"`) {
		t.Errorf("one account: %d cards\n%s", n, body)
	}
	for i := range 120 {
		if _, err := d.store.AddAccount(t.Context(), fmt.Sprintf("user%03d", i), fmt.Sprintf("Person.%d@contoso.com", i)); err != nil {
			t.Fatal(err)
		}
	}
	if n, body := cards("/"); n != 100 || !strings.Contains(body, `role="search"`) || !strings.Contains(body, "21 more accounts are not shown") {
		t.Errorf("many accounts: %d cards", n)
	}
	if n, body := cards("/?q=USER117"); n != 1 || !strings.Contains(body, "/accounts/user117") || !strings.Contains(body, `value="USER117"`) {
		t.Errorf("by name: %d cards", n)
	}
	if n, _ := cards("/?q=person.11%40"); n != 1 {
		t.Errorf("by address: %d cards", n)
	}
	if n, body := cards("/?q=nobody"); n != 0 || !strings.Contains(body, "No account has that") || strings.Contains(body, "add your first account") {
		t.Errorf("nobody: %d cards\n%s", n, body)
	}
}
