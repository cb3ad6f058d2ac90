package action

import "firedrill"

// Sentinel describes the routes by which an application takes numbered writes,
// as plans write them below a Worker. In paths and bodies {n} stands for the
// number and {run} for the run that it belongs to.
type Sentinel struct {
	Write  Route `json:"write" doc:"request that stores a number; an answer as described acknowledges it"`
	Read   Route `json:"read" doc:"request that gives the numbers of the run that are there; {after} in its path stands for the last number of the page before"`
	Remove Route `json:"remove" doc:"request that takes all numbers of the run away"`
	// Numbers leads to the numbers in the answer to Read: keys with dots between
	// them, through lists as well.
	Numbers string             `json:"numbers,omitempty" doc:"where the numbers stand in the answer to read: keys with dots between them, through lists, too; the answer itself if left out"`
	Every   firedrill.Duration `json:"every,omitempty" doc:"time between two writes; 100ms if left out"`
	Settle  firedrill.Duration `json:"settle,omitempty" doc:"time until writes and removals have to be visible; at once if left out"`
}

// Route is one of a sentinel's requests and the answer that it gives when all
// is well.
type Route struct {
	Path     string             `json:"path" doc:"path and query, beginning with a slash"`
	Method   string             `json:"method,omitempty" doc:"HTTP method; POST, GET and DELETE for write, read and remove if left out"`
	Body     string             `json:"body,omitempty" doc:"body to send"`
	Status   int                `json:"status,omitempty" doc:"expected status; 200 if left out"`
	JSON     firedrill.Values   `json:"json,omitempty" doc:"values that the JSON answer must hold; further keys are allowed"`
	Contains string             `json:"contains,omitempty" doc:"text that the answer must contain"`
	Headers  firedrill.Values   `json:"headers,omitempty" doc:"headers to send; a value is a string or a reference to a secret"`
	Timeout  firedrill.Duration `json:"timeout,omitempty" doc:"time after which no answer is a bad answer; 5s if left out"`
}
