package web

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore"
)

// What a round on one machine is at can be seen on another while it lasts, and a short one writes nothing.
func TestLiveElsewhere(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		key, err := sqlstore.ReadKey(filepath.Join(dir, "outbridge.key"))
		if err != nil {
			t.Fatal(err)
		}
		store, err := sqlstore.Open(t.Context(), filepath.Join(dir, "outbridge.db"), key)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		here, there := &Live{Others: store}, &Live{Others: store}
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		go func() { _ = here.Run(ctx) }()
		at := bridge.Progress{Account: "alice", Calendar: "Calendar", Phase: bridge.ProgressDownload, Events: 5}
		here.Tell(at)
		time.Sleep(time.Second)
		here.Ended("alice")
		time.Sleep(5 * time.Second)
		if list := there.elsewhere(ctx, "alice"); len(list) != 0 {
			t.Errorf("of a short round: %+v", list)
		}
		here.Tell(at)
		time.Sleep(3 * time.Second)
		at.Events = 7
		here.Tell(at)
		time.Sleep(2 * time.Second)
		if list := there.elsewhere(ctx, "alice"); len(list) != 1 || list[0] != at {
			t.Errorf("of a long round: %+v", list)
		}
		here.Ended("alice")
		time.Sleep(progressLife)
		if list := there.elsewhere(ctx, "alice"); len(list) != 0 {
			t.Errorf("after it: %+v", list)
		}
	})
}
