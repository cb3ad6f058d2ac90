package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/r2"

	"firedrill/internal/testkit/sandboxtest"
)

func TestR2(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), r2.NewBucketService(options(t, c)...)
	b := must[*r2.Bucket](t)(s.New(ctx, fill[r2.BucketNewParams](t, c.Account, map[string]any{"Name": "files"})))
	expect(t, "name", b.Name, "files")
	list := must[*r2.BucketListResponse](t)(s.List(ctx, fill[r2.BucketListParams](t, c.Account, nil)))
	expect(t, "buckets", len(list.Buckets), 1)
	expect(t, "get", must[*r2.Bucket](t)(s.Get(ctx, "files", fill[r2.BucketGetParams](t, c.Account, nil))).Name, "files")
	for i := range 25 {
		up := must[*r2.BucketObjectUploadResponse](t)(s.Objects.Upload(ctx, "files", fmt.Sprintf("dir/%02d", i), strings.NewReader("content"), fill[r2.BucketObjectUploadParams](t, c.Account, nil)))
		expect(t, "etag", up.Etag, "9a0364b9e99bb480dd25e1f0284c8555")
	}
	keys := all(t, s.Objects.ListAutoPaging(ctx, "files", fill[r2.BucketObjectListParams](t, c.Account, map[string]any{"PerPage": int64(10), "Prefix": "dir/"})), func(o r2.BucketObjectListResponse) string { return o.Key })
	expect(t, "objects in pages of ten", len(keys), 25)
	got := must[*http.Response](t)(s.Objects.Get(ctx, "files", "dir/07", fill[r2.BucketObjectGetParams](t, c.Account, nil)))
	expect(t, "content", body(t, got), "content")
	if _, err := s.Objects.Delete(ctx, "files", "dir/07", fill[r2.BucketObjectDeleteParams](t, c.Account, nil)); err != nil {
		t.Error(err)
	}
	_, err := s.Objects.Get(ctx, "files", "dir/07", fill[r2.BucketObjectGetParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 10007)
	_, err = s.Delete(ctx, "files", fill[r2.BucketDeleteParams](t, c.Account, nil))
	refused(t, err, http.StatusConflict, 10008)
	_, err = s.New(ctx, fill[r2.BucketNewParams](t, c.Account, map[string]any{"Name": "files"}))
	refused(t, err, http.StatusConflict, 10004)
	_, err = s.Get(ctx, "nobody", fill[r2.BucketGetParams](t, c.Account, nil))
	refused(t, err, http.StatusNotFound, 10006)
	_, err = s.Get(ctx, "files", fill[r2.BucketGetParams](t, c.Account, map[string]any{"Jurisdiction": "eu"}))
	refused(t, err, http.StatusBadRequest, 10029)
}
