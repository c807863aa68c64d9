package web

import "github.com/prometheus/client_golang/prometheus"

// Disk is the room on the disk of the database, in octets.
type Disk struct {
	Free, Size uint64
	Full       bool // nothing can be written any more
}

// WatchDisk adds the room on the disk of the database, which read finds at each scrape. Call it once.
func (m *Metrics) WatchDisk(read func() (Disk, error)) {
	gauge := func(name, help string, value func(Disk) uint64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "outbridge", Name: name, Help: help}, func() float64 {
			d, err := read()
			if err != nil {
				return -1
			}
			return float64(value(d))
		}))
	}
	gauge("disk_free_bytes", "Room on the disk of the database; -1 if it is not known.", func(d Disk) uint64 { return d.Free })
	gauge("disk_size_bytes", "Size of the disk of the database; -1 if it is not known.", func(d Disk) uint64 { return d.Size })
}
