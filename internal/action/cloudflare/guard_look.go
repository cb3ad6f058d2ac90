package cloudflare

import (
	"context"
	"slices"
)

// lookAgain makes the client ask once more what is called what, before it changes
// anything: things are renamed while a drill runs.
func (c *Client) lookAgain() { c.looked.Store(false) }

// learn asks the API what the databases and namespaces of the account are called,
// where some are protected: a name leads to an id that no plan gives, and an id to
// a name. It asks before the first change, and again when [Client.lookAgain] says
// so; whoever wants to change something waits for the answer. Where there is no
// answer nothing is changed.
func (c *Client) learn(ctx context.Context, req Request) error {
	if c.cfg.Guard == nil || c.looked.Load() {
		return nil
	}
	c.looking.Lock()
	defer c.looking.Unlock()
	if c.looked.Load() {
		return nil
	}
	kinds := c.cfg.Guard.kinds()
	if slices.Contains(kinds, "d1") {
		all, err := c.listDatabases(ctx, req.Op, req.Notify)
		if err != nil {
			return err
		}
		for _, db := range all {
			c.cfg.Guard.learn("d1", db.ID, db.Name)
		}
	}
	if slices.Contains(kinds, "kv") {
		all, err := c.listNamespaces(ctx, req.Op, req.Notify)
		if err != nil {
			return err
		}
		for _, n := range all {
			c.cfg.Guard.learn("kv", n.ID, n.Title)
		}
	}
	c.looked.Store(true)
	return nil
}
