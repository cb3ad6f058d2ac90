package bucket

import (
	"net"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"firedrill"
)

// address says where files lie: objects whose names begin with the prefix.
type address struct {
	bucket string
	prefix string // empty, or ending in a slash
}

func parseAddress(s string) (address, error) {
	const form = "write s3://bucket/prefix"
	rest, ok := strings.CutPrefix(s, "s3://")
	if strings.Contains(s, "@") {
		// Whoever writes a secret into the address must not read it again.
		return address{}, usage("the address of the bucket", "it holds an @", form+", and put credentials into the environment")
	}
	if !ok {
		return address{}, usage(s, "it is no address of a bucket", form)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if err := s3utils.CheckValidBucketNameStrict(bucket); err != nil {
		return address{}, usage(s, err.Error(), form)
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return address{bucket, ""}, nil
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if !plain(part) {
			return address{}, usage(s, "its prefix has an empty or strange part", form)
		}
	}
	return address{bucket, prefix + "/"}, nil
}

// endpoint is a store.
type endpoint struct {
	url    *url.URL
	region string
}

func parseEndpoint(cfg Config) (endpoint, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if v := cfg.Getenv(name); v != "" {
				return v
			}
		}
		return ""
	}
	region, text := cfg.Region, cfg.Endpoint
	if region == "" {
		region = first("AWS_REGION", "AWS_DEFAULT_REGION")
	}
	if text == "" {
		text = first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
	}
	switch {
	case text == "" && region == "":
		return endpoint{}, usage(cfg.Address, "no endpoint is given", "set AWS_ENDPOINT_URL_S3 to the address of the store, or AWS_REGION for AWS itself")
	case text == "":
		text = "https://s3." + region + ".amazonaws.com"
	case region == "":
		region = "us-east-1"
	}
	const form = "write https://host, without a path; the bucket stands in the address s3://bucket/prefix"
	u, err := url.Parse(text)
	if err != nil || u.User != nil || strings.Contains(text, "@") {
		return endpoint{}, usage("the endpoint", "it is no address, or holds credentials", form+", and put credentials into the environment")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return endpoint{}, usage(text, "it is no address of a store", form)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, usage(text, "it has more than a host", form)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return endpoint{}, usage(text, "plain http would show the data to everyone on the way", "use https; plain http is for this machine alone")
	}
	return endpoint{&url.URL{Scheme: u.Scheme, Host: u.Host}, region}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// keys are the credentials.
type keys struct{ id, secret, token string }

func readKeys(getenv func(string) string) (keys, error) {
	k := keys{id: strings.TrimSpace(getenv("AWS_ACCESS_KEY_ID")), secret: strings.TrimSpace(getenv("AWS_SECRET_ACCESS_KEY")), token: strings.TrimSpace(getenv("AWS_SESSION_TOKEN"))}
	for name, v := range map[string]string{"AWS_ACCESS_KEY_ID": k.id, "AWS_SECRET_ACCESS_KEY": k.secret} {
		if v == "" {
			return keys{}, &firedrill.Error{Op: "open the bucket", Kind: firedrill.KindDenied, Target: "environment variable " + name, Detail: "is not set", Remedy: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"}
		}
	}
	return k, nil
}

// redact takes the credentials out of what others wrote.
func (k keys) redact(text string) string {
	for _, v := range []string{k.secret, k.token, k.id} {
		if v != "" {
			text = strings.ReplaceAll(text, v, "[redacted]")
		}
	}
	return text
}
