package httpapi

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const defaultLimit = 100

// listParams are the parameters of every list, as the generated code names them.
type listParams struct {
	Skip   *Skip   `form:"skip,omitempty" json:"skip,omitempty"`
	Limit  *Limit  `form:"limit,omitempty" json:"limit,omitempty"`
	Cursor *Cursor `form:"cursor,omitempty" json:"cursor,omitempty"`
	Count  *Count  `form:"count,omitempty" json:"count,omitempty"`
}

// The first byte of a cursor says which list it belongs to.
const (
	userCursor byte = 'u'
	itemCursor byte = 'i'
)

func pageRequest(list byte, p listParams) (domain.PageRequest, error) {
	page := domain.PageRequest{
		Skip:  optional(p.Skip).Or(0),
		Limit: optional(p.Limit).Or(defaultLimit),
		Count: optional(p.Count).Or(true),
	}
	if p.Cursor == nil {
		return page, nil
	}
	if p.Skip != nil {
		return page, invalid(FieldError{"query.cursor", "cannot be used together with skip"})
	}
	after, ok := decodeCursor(list, *p.Cursor)
	if !ok {
		return page, invalid(FieldError{"query.cursor", "is not the next_cursor of a page of this list"})
	}
	page.After = domain.Some(after)
	return page, nil
}

// A cursor is the position of a page's last row: list, microseconds, id, and a checksum that tells
// a mistyped cursor from one that was made here. It protects nothing: a list shows only what its
// reader may see, wherever it begins.
const (
	cursorBody = 1 + 8 + 16
	cursorSize = cursorBody + crc32.Size
)

var cursorText = base64.RawURLEncoding.Strict()

func encodeCursor(list byte, p domain.Position) string {
	id := uuid.MustParse(p.ID)
	b := append(make([]byte, 0, cursorSize), list)
	b = binary.BigEndian.AppendUint64(b, uint64(p.CreatedAt.UnixMicro()))
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return cursorText.EncodeToString(b)
}

func decodeCursor(list byte, cursor string) (domain.Position, bool) {
	if strings.ContainsAny(cursor, "\r\n") { // which base64 skips
		return domain.Position{}, false
	}
	b, err := cursorText.DecodeString(cursor)
	if err != nil || len(b) != cursorSize || b[0] != list || binary.BigEndian.Uint32(b[cursorBody:]) != crc32.ChecksumIEEE(b[:cursorBody]) {
		return domain.Position{}, false
	}
	return domain.Position{
		CreatedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:]))).UTC(),
		ID:        uuid.UUID(b[9:cursorBody]).String(),
	}, true
}

func nextCursor[T interface{ Position() domain.Position }](list byte, page domain.Page[T]) NextCursor {
	if !page.More || len(page.Rows) == 0 {
		return nil
	}
	cursor := encodeCursor(list, page.Rows[len(page.Rows)-1].Position())
	return &cursor
}

func total(n domain.Optional[int]) Total {
	count, ok := n.Get()
	if !ok {
		return nil
	}
	return &count
}
