package pagehistory

import (
	"bytes"
	"testing"
)

func FuzzReadRecord(f *testing.F) {
	r := record{tx: 1, timeMS: 2, before: 3, after: 4, pages: []uint32{1, 2}, crcs: []uint32{5, 6}}
	f.Add(r.encodeHead())
	f.Add([]byte("FDTX"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readRecord(bytes.NewReader(data), 0)
		if err == nil && !bytes.Equal(got.encodeHead()[:fixedSize-8], data[:fixedSize-8]) {
			t.Errorf("a record changes when it is read and written: %+v", got)
		}
		if _, err := readHeader(bytes.NewReader(data)); err == nil && !bytes.HasPrefix(data, []byte(fileMagic)) {
			t.Error("a header without its magic was taken")
		}
	})
}

func FuzzWalkWAL(f *testing.F) {
	f.Add([]byte{0x37, 0x7f, 0x06, 0x82})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		h, ok, err := readWALHeader(r)
		if err != nil || !ok {
			return
		}
		buf := make([]byte, frameHeaderSize+h.pageSize)
		sum := h.sum
		for n := uint32(0); ; n++ {
			_, after, ok, err := h.readFrame(r, n, sum, buf)
			if err != nil || !ok {
				return
			}
			sum = after
		}
	})
}
