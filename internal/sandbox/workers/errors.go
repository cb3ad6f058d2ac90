package workers

import "fmt"

// Code is the platform's number for an error. Clients act on it.
type Code int

// The codes that the Workers part of the API uses.
const (
	CodeNoWorker          Code = 10007 // there is no such Worker
	CodeInvalid           Code = 10021 // the script or its metadata is not valid
	CodeTooLarge          Code = 10027
	CodeNoNamespace       Code = 10041 // a KV binding without a namespace
	CodeNoSecret          Code = 10056
	CodeInherit           Code = 10057 // an inherited binding does not exist
	CodeBadRequest        Code = 10026 // the request itself is malformed
	CodeNoClass           Code = 10061 // a binding to a class that is no Durable Object class
	CodeClassNotExported  Code = 10070
	CodeMigrationClass    Code = 10071 // the sandbox's choice
	CodeClassExists       Code = 10074
	CodeMigrationTag      Code = 10079
	CodeNoObjects         Code = 10066 // there is no such Durable Object namespace
	CodeNoSnapshot        Code = 10067 // the sandbox's own
	CodeMigrationUpload   Code = 10211 // a migration in a version upload
	CodeNoServiceTarget   Code = 10143
	CodeNoBucket          Code = 10085
	CodeNoDatabase        Code = 10181
	CodeLatestNotDeployed Code = 10215
	CodeSecretsChanged    Code = 10220
	CodeNoDeployment      Code = 10222
	CodeNoVersion         Code = 100146
	CodeStillReferenced   Code = 10064
	CodeUnsupported       Code = 10021 // the sandbox does not have this yet
)

// Error is a refusal. Message is what a client shows to its user; it says what
// is wrong with which thing and what to do.
type Error struct {
	Op      string // the operation, for instance "upload"
	Target  string // the Worker
	Code    Code
	Message string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %s [code: %d]", e.Op, e.Target, e.Message, e.Code)
}

// refuse builds an Error.
func refuse(op, target string, code Code, format string, args ...any) *Error {
	return &Error{Op: op, Target: target, Code: code, Message: fmt.Sprintf(format, args...)}
}

func noWorker(op, name string) *Error {
	return refuse(op, name, CodeNoWorker, "This Worker does not exist on your account.")
}
