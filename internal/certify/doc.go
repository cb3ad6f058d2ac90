// Package certify computes a score from evidence: which drills were shown to work,
// where, and how long ago. It believes nothing that it is not given: what did not
// run, what cannot be verified and what does not exist counts nothing.
//
// A [Rubric] says what counts how much. [Evaluate] takes what is known about each
// requirement and a moment, and tells the score, why each requirement counts or
// not, and what would change the score next. As time passes without new evidence
// the score never rises.
//
// A [Control] is a clause of a standard that such evidence supports. Whether
// somebody complies with the standard is for others to say.
package certify
