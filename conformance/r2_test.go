package conformance

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/option"
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

func TestR2Objects(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), r2.NewBucketObjectService(options(t, c)...)
	c.Must(http.MethodPost, "r2/buckets", map[string]string{"name": "files"})
	put := func(key, content string, opts ...option.RequestOption) *r2.BucketObjectUploadResponse {
		t.Helper()
		return must[*r2.BucketObjectUploadResponse](t)(s.Upload(ctx, "files", key, strings.NewReader(content), fill[r2.BucketObjectUploadParams](t, c.Account, nil), opts...))
	}
	get := func(key string, fields map[string]any) (*http.Response, error) {
		return s.Get(ctx, "files", key, fill[r2.BucketObjectGetParams](t, c.Account, fields))
	}
	up := put("a", "\x00\xff\r\n", option.WithHeader("Content-Type", "text/x-test"), option.WithHeader("Cache-Control", "max-age=7"), option.WithHeader("Content-Language", "de"))
	expect(t, "size", up.Size, "4")
	first := must[*http.Response](t)(get("a", nil))
	expect(t, "content", strconv.Quote(body(t, first)), strconv.Quote("\x00\xff\r\n"))
	for name, want := range map[string]string{"Content-Type": "text/x-test", "Cache-Control": "max-age=7", "Content-Language": "de", "Content-Length": "4", "Etag": `"` + up.Etag + `"`} {
		expect(t, name, first.Header.Get(name), want)
	}
	put("a", `{"success":false}`, option.WithHeader("Content-Type", "application/json"))
	second := must[*http.Response](t)(get("a", nil))
	expect(t, "content", body(t, second), `{"success":false}`)
	expect(t, "headers of before", second.Header.Get("Cache-Control"), "")
	same := must[*http.Response](t)(get("a", map[string]any{"IfNoneMatch": second.Header.Get("Etag")}))
	differs(t, "asking for another content than this one", http.StatusOK, http.StatusNotModified, same.StatusCode)
	if err := same.Body.Close(); err != nil {
		t.Error(err)
	}

	for _, key := range []string{"dir/x", "dir/y", "dir/sub/z", "ä ö//😀", "100%", "q?#"} {
		put(url.PathEscape(key), key)
		expect(t, key, body(t, must[*http.Response](t)(get(url.PathEscape(key), nil))), key)
	}
	list := func(fields map[string]any) []string {
		t.Helper()
		return all(t, s.ListAutoPaging(ctx, "files", fill[r2.BucketObjectListParams](t, c.Account, fields)), func(o r2.BucketObjectListResponse) string {
			return fmt.Sprintf("%s %d", o.Key, o.Size)
		})
	}
	everything := []string{"100% 4", "a 17", "dir/sub/z 9", "dir/x 5", "dir/y 5", "q?# 3", "ä ö//😀 11"}
	expect(t, "all", list(nil), everything)
	expect(t, "all, one by one", list(map[string]any{"PerPage": int64(1)}), everything)
	expect(t, "by prefix and delimiter", list(map[string]any{"Prefix": "dir/", "Delimiter": "/"}), []string{"dir/x 5", "dir/y 5"})
	expect(t, "after a key", list(map[string]any{"StartAfter": "dir/x"}), everything[4:])
	gone := must[*r2.BucketObjectDeleteResponse](t)(s.Delete(ctx, "files", "dir/x", fill[r2.BucketObjectDeleteParams](t, c.Account, nil)))
	expect(t, "deleted", gone.Key, "dir/x")
	expect(t, "left", list(map[string]any{"Prefix": "dir/"}), []string{"dir/sub/z 9", "dir/y 5"})
}

func TestR2Buckets(t *testing.T) {
	t.Parallel()
	c := sandboxtest.Start(t)
	ctx, s := t.Context(), r2.NewBucketService(options(t, c)...)
	for i := range 5 {
		must[*r2.Bucket](t)(s.New(ctx, fill[r2.BucketNewParams](t, c.Account, map[string]any{"Name": fmt.Sprintf("bucket-%d", i)})))
	}
	list := func(fields map[string]any) []string {
		t.Helper()
		res := must[*r2.BucketListResponse](t)(s.List(ctx, fill[r2.BucketListParams](t, c.Account, fields)))
		audit(t, res.Buckets)
		var names []string
		for _, b := range res.Buckets {
			names = append(names, strings.TrimPrefix(b.Name, "bucket-"))
		}
		return names
	}
	expect(t, "all", list(nil), []string{"0", "1", "2", "3", "4"})
	expect(t, "after one", list(map[string]any{"StartAfter": "bucket-2"}), []string{"3", "4"})
	expect(t, "by a part of the name", list(map[string]any{"NameContains": "-3"}), []string{"3"})
	differs(t, "two", []string{"0", "1", "2", "3", "4"}, []string{"0", "1"}, list(map[string]any{"PerPage": 2.0}))
	differs(t, "downward", []string{"0", "1", "2", "3", "4"}, []string{"4", "3", "2", "1", "0"}, list(map[string]any{"Order": "name", "Direction": "desc"}))
	for _, name := range []string{"", "ab", "Upper", "under_score", "-dash", strings.Repeat("n", 64)} {
		if _, err := s.New(ctx, fill[r2.BucketNewParams](t, c.Account, map[string]any{"Name": name})); err == nil {
			t.Errorf("the name %q is taken", name)
		} else {
			refused(t, err, http.StatusBadRequest, 10005)
		}
	}
	_, err := s.New(ctx, fill[r2.BucketNewParams](t, c.Account, map[string]any{"Name": "elsewhere", "Jurisdiction": "eu"}))
	refused(t, err, http.StatusBadRequest, 10029)
	_, err = s.New(ctx, fill[r2.BucketNewParams](t, c.Account, map[string]any{"Name": "rarely", "StorageClass": "InfrequentAccess"}))
	refused(t, err, http.StatusBadRequest, 10029)
	if _, err := s.Delete(ctx, "bucket-1", fill[r2.BucketDeleteParams](t, c.Account, nil)); err != nil {
		t.Fatal(err)
	}
	expect(t, "left", list(nil), []string{"0", "2", "3", "4"})
}
