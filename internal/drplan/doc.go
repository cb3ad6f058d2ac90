// Package drplan reads the document in which people keep a disaster-recovery plan
// (Markdown) and keeps its facts true.
//
// [Update] finds the table of the schedule, the execution log, the certification table
// and the score by headings and columns, or by markers
// (<!-- firedrill:schedule --> … <!-- /firedrill -->), and brings exactly those up to
// date from what really ran. Bytes are edited by their position: all others stay as
// they were. What cannot be told for sure is left and named; what is ambiguous is
// refused with its line.
//
// [Import] reads drills, frequencies, targets and resources out of such a document and
// writes a plan from them, and [Findings] lists what in the document cannot work.
package drplan
