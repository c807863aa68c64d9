package convert_test

import (
	"outbridge/bridge/convert"
	"outbridge/bridge/feed"
)

func init() { convert.WriteCalendar = feed.WriteCalendar }
