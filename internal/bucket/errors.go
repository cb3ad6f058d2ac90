package bucket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"firedrill"
)

// call is one operation, for what is said about it when it fails.
type call struct {
	b      *Bucket
	ctx    context.Context // to be used for its requests
	op     string
	target string
	reads  bool
	sent   atomic.Bool // a request has left
}

func (b *Bucket) begin(ctx context.Context, op, name string, reads bool) *call {
	c := &call{b: b, op: op, target: b.file(name), reads: reads}
	c.ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { c.sent.Store(true) }})
	return c
}

// beginFile is begin for a file, whose name has to be plain.
func (b *Bucket) beginFile(ctx context.Context, op, name string, reads bool) (*call, error) {
	c := b.begin(ctx, op, name, reads)
	if !plain(name) {
		return nil, c.error(firedrill.KindUsage, fmt.Sprintf("%q is no plain file name", name), "use another name", nil)
	}
	if ctx.Err() != nil {
		return nil, c.fail(ctx.Err())
	}
	return c, nil
}

func (c *call) error(kind firedrill.Kind, detail, remedy string, cause error) error {
	return &firedrill.Error{Op: c.op, Kind: kind, Target: c.target, Detail: detail, Remedy: remedy, Err: cause}
}

const look = "look whether it happened before doing it again"

// fail turns an error of the library into one of ours: with a kind and a remedy,
// without credentials. Of the cause only what callers ask for is kept.
func (c *call) fail(err error) error {
	var ours *firedrill.Error
	var answer minio.ErrorResponse
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ours):
		return err
	case c.ctx.Err() != nil && (c.reads || !c.sent.Load()):
		return c.givenUp()
	case errors.As(err, &answer):
		return c.answered(answer)
	}
	detail := c.text(err)
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &cert):
		return c.error(firedrill.KindNotSent, "the certificate of "+c.b.endpoint+" is not trusted: "+detail, "check the endpoint; a private authority belongs into this machine's certificates, or into the file that SSL_CERT_FILE names", nil)
	case errors.As(err, &record), strings.Contains(detail, "server gave HTTP response to HTTPS client"):
		return c.error(firedrill.KindNotSent, c.b.endpoint+" does not speak TLS: "+detail, "check the endpoint and its port", nil)
	case !c.sent.Load():
		return c.error(firedrill.KindNotSent, c.b.endpoint+" cannot be reached: "+detail, "check the endpoint and the network, then repeat", nil)
	case errors.Is(err, errNoListing), errors.Is(err, errNoStore), errors.Is(err, errNoRemoval):
		return c.notAStore(detail)
	case c.reads:
		return c.error(firedrill.KindUnavailable, "no whole answer: "+detail, "repeat later", sentinel(err))
	}
	return c.error(firedrill.KindUnknown, "sent, but not answered: "+detail, look, sentinel(c.ctx.Err()))
}

// givenUp is the error of what was stopped before it was sent, or only reads.
func (c *call) givenUp() error {
	if errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		return c.error(firedrill.KindTimeout, "took too long", "allow more time, or see why "+c.b.endpoint+" is slow", context.DeadlineExceeded)
	}
	return c.error(firedrill.KindInterrupted, "stopped before it was done", "", c.ctx.Err())
}

// answered is the error that an answer of the store stands for.
func (c *call) answered(a minio.ErrorResponse) error {
	detail := fmt.Sprintf("the store says %s: %s", a.Code, c.text(a))
	if a.StatusCode < 300 { // a failure that came as a success says nothing about what happened
		return c.notAStore(detail)
	}
	if a.StatusCode >= 500 && a.Code != "SlowDown" && a.StatusCode != http.StatusNotImplemented {
		if c.reads {
			return c.error(firedrill.KindUnavailable, detail, "the store has a fault of its own: repeat later", nil)
		}
		return c.error(firedrill.KindUnknown, detail, look, nil)
	}
	switch a.Code {
	case "NoSuchKey":
		return c.error(firedrill.KindNotFound, "", "check the address", fs.ErrNotExist)
	case "NoSuchBucket":
		return c.error(firedrill.KindNotFound, "there is no bucket "+c.b.bucket+" at "+c.b.endpoint, "make the bucket, or check its name, the endpoint and the account", nil)
	case "InvalidAccessKeyId", "XAdminUserNotFound": // the latter from versitygw
		return c.error(firedrill.KindDenied, detail, "check AWS_ACCESS_KEY_ID: is it a key of this store?", nil)
	case "SignatureDoesNotMatch":
		return c.error(firedrill.KindDenied, detail, "check AWS_SECRET_ACCESS_KEY and the region", nil)
	case "ExpiredToken", "InvalidToken", "ExpiredTokenException":
		return c.error(firedrill.KindDenied, detail, "renew the credentials, AWS_SESSION_TOKEN included", nil)
	case "RequestTimeTooSkewed":
		return c.error(firedrill.KindDenied, detail, "set the clock of this machine", nil)
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect", "InvalidRegion", "IllegalLocationConstraintException":
		return c.error(firedrill.KindUsage, detail, "set AWS_REGION and the endpoint to those of the bucket", nil)
	case "SlowDown", "TooManyRequests", "Throttling", "RequestLimitExceeded":
		return c.error(firedrill.KindLimited, detail, "repeat later", nil)
	case "BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return c.error(firedrill.KindCorrupt, detail, "the data changed on the way: repeat, and check the network", nil)
	case "NotImplemented":
		return c.error(firedrill.KindUnsupported, detail, "use a store that can do this", nil)
	}
	return c.byStatus(a.StatusCode, detail)
}

func (c *call) byStatus(status int, detail string) error {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return c.error(firedrill.KindDenied, detail, "give the key the right to list, read, write and remove in bucket "+c.b.bucket, nil)
	case status == http.StatusPreconditionFailed || status == http.StatusConflict:
		return c.error(firedrill.KindConflict, detail, "look at what is there now, then repeat", nil)
	case status == http.StatusTooManyRequests:
		return c.error(firedrill.KindLimited, detail, "repeat later", nil)
	case status == http.StatusNotImplemented:
		return c.error(firedrill.KindUnsupported, detail, "use a store that can do this", nil)
	case status >= 300 && status < 400:
		return c.error(firedrill.KindUsage, detail, "set AWS_REGION and the endpoint to those of the bucket", nil)
	}
	return c.error(firedrill.KindInvalid, detail, "check the endpoint "+c.b.endpoint, nil)
}

// text is one line of what an error says, bounded and without credentials.
func (c *call) text(err error) string {
	s := strings.Join(strings.Fields(c.b.redact(err.Error())), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

// sentinel is the part of an error that callers ask for.
func sentinel(err error) error {
	for _, s := range []error{context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF} {
		if errors.Is(err, s) {
			return s
		}
	}
	return nil
}
