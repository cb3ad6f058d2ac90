package plan

import (
	"net/url"
	"reflect"
	"strings"

	"firedrill"
)

// stateSettings are the keys of state.
type stateSettings struct {
	Bucket      string    `json:"bucket" doc:"s3://bucket/prefix, outside everything that is drilled"`
	Endpoint    string    `json:"endpoint,omitempty" doc:"https://host of the S3-compatible store; left out: AWS, in the region"`
	Region      string    `json:"region,omitempty" doc:"region that requests are signed for; left out: us-east-1"`
	Credentials stateKeys `json:"credentials" doc:"the key that may list, read, write and remove there"`
}

// stateKeys are references to the two halves of a key.
type stateKeys struct {
	AccessKey reference `json:"access_key" doc:"where the id of the key stands"`
	SecretKey reference `json:"secret_key" doc:"where its secret stands"`
}

// reference says where a secret stands.
type reference struct {
	Env     string   `json:"env,omitempty" doc:"name of an environment variable"`
	File    string   `json:"file,omitempty" doc:"path of a file that holds the value"`
	Command []string `json:"command,omitempty" doc:"program and arguments; its standard output is the value"`
}

// State reads only where runs are kept, so that a plan that is broken elsewhere
// hides no interrupted run. nil: in the local folder.
func State(file string, data []byte) (*firedrill.StateStore, error) {
	b := &builder{file: file}
	root := b.read(data)
	if root == nil {
		return nil, b.err()
	}
	n := root.get("state")
	if n == nil {
		return nil, nil //nolint:nilnil // a plan need not name a store
	}
	s := b.state(n)
	return s, b.err()
}

func (b *builder) state(n *node) *firedrill.StateStore {
	before := len(b.errs)
	v := asValues(b.typed(n, reflect.TypeFor[stateSettings](), "state"))
	if len(b.errs) > before {
		return nil
	}
	text := func(key string) string { s, _ := v[key].(string); return s }
	keys := asValues(v["credentials"])
	s := &firedrill.StateStore{Bucket: text("bucket"), Endpoint: text("endpoint"), Region: text("region"),
		AccessKey: asValues(keys["access_key"]), SecretKey: asValues(keys["secret_key"])}
	if rest, ok := strings.CutPrefix(s.Bucket, "s3://"); !ok || rest == "" || strings.ContainsAny(s.Bucket, "@?#") {
		b.fail(n.get("bucket").pos, "bucket is no address of a bucket", "write s3://bucket/prefix, and credentials as references")
	}
	if e := n.get("endpoint"); e != nil && !plainEndpoint(s.Endpoint) {
		b.fail(e.pos, "endpoint is no address of a store", "write https://host, without a path; the bucket stands in bucket")
	}
	if s.Endpoint == "" && s.Region == "" {
		b.fail(n.pos, `state needs "endpoint" or "region"`, "write the endpoint of the store, https://host, or the region for AWS itself")
	}
	return s
}

func plainEndpoint(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == ""
}
