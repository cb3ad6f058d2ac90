package d1

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
)

// A bookmark is shaped like the platform's, 8-8-8-32 hexadecimal digits. The
// first 16 digits are the transaction, so that the order of text is the order
// of time; the last 32 are the database's identity, so that a bookmark of
// another database is known.
var bookmarkShape = regexp.MustCompile(`^([0-9a-f]{8})-([0-9a-f]{8})-00000000-([0-9a-f]{32})$`)

// identity is what bookmarks and the page history know a database by.
func identity(databaseID string) [16]byte {
	sum := sha256.Sum256([]byte("d1:" + databaseID))
	return [16]byte(sum[:16])
}

func bookmark(tx uint64, id [16]byte) string {
	return fmt.Sprintf("%08x-%08x-00000000-%s", tx>>32, tx&0xffffffff, hex.EncodeToString(id[:]))
}

func parseBookmark(text string, id [16]byte) (uint64, error) {
	m := bookmarkShape.FindStringSubmatch(text)
	if m == nil {
		return 0, badRequest("Invalid bookmark: %q is not of the form 8-8-8-32 hexadecimal digits", text)
	}
	if m[3] != hex.EncodeToString(id[:]) {
		return 0, badRequest("Invalid bookmark: it belongs to another database")
	}
	tx, err := strconv.ParseUint(m[1]+m[2], 16, 64)
	if err != nil {
		return 0, badRequest("Invalid bookmark: %q", text)
	}
	return tx, nil
}
