// Package draft writes a first firedrill.yaml from what the configurations of
// wrangler deploy: environments and their classes, databases, namespaces and
// Workers, probes, and the drills that apply. What it cannot know it leaves to be
// filled in, and says so in a comment; where it has to guess, it takes the guess
// that protects more.
package draft
