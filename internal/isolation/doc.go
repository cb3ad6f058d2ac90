// Package isolation tells which resource belongs to which environment, from the
// configurations of wrangler and of firedrill, and finds what one environment
// has of another: databases, buckets, queues, Workers, routes, addresses in
// variables. A drill in an environment that reaches into production is a drill
// on production.
package isolation
