package cloudflare

import (
	"context"
	"fmt"
	"net/http"

	"firedrill"
	"firedrill/internal/action"
)

// kvActions are the actions on KV namespaces.
func (p *pack) kvActions() []firedrill.Action {
	return []firedrill.Action{
		p.kvFind(), p.kvScratchName(), p.kvTarget(), p.kvDelete(), p.kvAbsent(),
		p.kvInsertCanaries(), p.kvRemoveCanaries(), p.kvDamage(),
		p.kvSentinel(), p.kvSentinelStop(), p.kvSentinelRemove(),
		p.kvWatchWrites(), p.kvAwaitStill(), p.kvAwaitWrites(),
		p.kvBackup(), p.kvVerifyBackup(), p.kvCompare(), p.kvRestore(), p.kvProtect(),
		p.kvTakeBackup(),
	}
}

// claimKV makes the claim of an action on the namespace in its input.
func claimKV(write bool) func(firedrill.Values) []firedrill.Claim {
	return func(in firedrill.Values) []firedrill.Claim {
		id, _ := in["namespace"].(string)
		return []firedrill.Claim{{Resource: "kv:" + id, Write: write}}
	}
}

func claimKVName(in firedrill.Values) []firedrill.Claim {
	n, _ := in["name"].(string)
	return []firedrill.Claim{{Resource: "kv-name:" + n, Write: true}}
}

// namespace gives the namespace of a call by its id.
func (p *pack) namespace(ctx context.Context, op string, call firedrill.Call, id string) (*KV, error) {
	c, err := p.client(call)
	if err != nil {
		return nil, err
	}
	return c.KV(ctx, op, id, notify(call))
}

type kvFindIn struct {
	Resource firedrill.Values `json:"resource" doc:"a KV namespace of the plan: its title, its id, or both"`
}

type kvFindOut struct {
	ID   string `json:"id" doc:"id of the namespace"`
	Name string `json:"name" doc:"title of the namespace"`
}

func (p *pack) kvFind() firedrill.Action {
	const name = "kv.find"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Find a KV namespace of the plan by its id or title. If it names both, they must belong together."},
		func(ctx context.Context, call firedrill.Call, in kvFindIn) (action.Result[kvFindOut], error) {
			var res action.Result[kvFindOut]
			if kind := attr(in.Resource, "kind"); kind != "" && kind != "kv" {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "resource " + attr(in.Resource, "key"),
					Detail: "is of kind " + kind + ", not kv", Remedy: "name a KV namespace of the plan"}
			}
			ref, called := attr(in.Resource, "id"), attr(in.Resource, "name")
			if ref == "" {
				ref = called
			}
			ns, err := p.namespace(ctx, name, call, ref)
			if err != nil {
				return res, err
			}
			if called != "" && called != ns.Title {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindConflict, Target: "KV namespace " + ns.ID,
					Detail: fmt.Sprintf("is called %q, the plan says %q", ns.Title, called), Remedy: "correct the name or the id in the plan"}
			}
			res.Out = kvFindOut{ns.ID, ns.Title}
			res.Summary = "KV namespace " + ns.Title
			return res, nil
		})
}

type kvScratchIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace that the drill is about"`
}

func (p *pack) kvScratchName() firedrill.Action {
	const name = "kv.scratch-name"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Choose the title of a scratch namespace for this run. It is chosen before the namespace is made, so that it can be deleted whatever happens."},
		func(_ context.Context, call firedrill.Call, in kvScratchIn) (action.Result[scratchOut], error) {
			return action.Result[scratchOut]{Out: scratchOut{Name: scratchName(call.Run, in.Namespace)}}, nil
		})
}

type kvTargetIn struct {
	Namespace string `json:"namespace" doc:"id of the namespace that the plan names"`
	Scratch   string `json:"scratch" doc:"title for a scratch namespace, from kv.scratch-name"`
	Copy      bool   `json:"copy" doc:"true: work in an empty scratch namespace; false: work in the namespace itself"`
}

func (p *pack) kvTarget() firedrill.Action {
	const name = "kv.target"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent,
		Doc: "Settle which namespace a drill works in: the one that the plan names, where nobody else writes, or a scratch namespace of its own. On an environment that is neither exclusive nor a sandbox, working in the namespace itself is refused.",
		Claims: func(in firedrill.Values) []firedrill.Claim {
			n, _ := in["scratch"].(string)
			return append(claimKV(false)(in), firedrill.Claim{Resource: "kv-name:" + n, Write: true})
		}},
		func(ctx context.Context, call firedrill.Call, in kvTargetIn) (action.Result[targetOut], error) {
			var res action.Result[targetOut]
			if !in.Copy {
				if !call.Environment.InPlace() {
					return res, &firedrill.Error{Op: name, Kind: firedrill.KindGuard, Target: "environment " + call.Environment.Name,
						Detail: "others write there, so its own data is not damaged", Remedy: "work in a scratch namespace, or say in the plan that it is exclusive: true"}
				}
				ns, err := p.namespace(ctx, name, call, in.Namespace)
				if err != nil {
					return res, err
				}
				res.Out = targetOut{ns.ID, ns.Title, false}
				return res, nil
			}
			if err := checkScratchName(name, in.Scratch); err != nil {
				return res, err
			}
			c, err := p.client(call)
			if err != nil {
				return res, err
			}
			ns, err := c.KV(ctx, name, in.Scratch, notify(call))
			if firedrill.KindOf(err) == firedrill.KindNotFound {
				ns, err = c.createKV(ctx, name, in.Scratch, notify(call))
			}
			if err != nil {
				return res, err
			}
			res.Out = targetOut{ns.ID, ns.Title, true}
			res.Summary = "scratch namespace " + ns.Title
			return res, nil
		})
}

// createKV makes a namespace.
func (c *Client) createKV(ctx context.Context, op, title string, tell func(string)) (*KV, error) {
	req := Request{Op: op, Target: "KV namespace " + title, Method: http.MethodPost, Path: c.AccountPath("storage", "kv", "namespaces"),
		Body: []byte(fmt.Sprintf(`{"title":%q}`, title)), Ids: []ID{{"kv", title}}, Notify: tell}
	resp, err := c.Do(ctx, req)
	if err != nil {
		return nil, err
	}
	var n struct{ ID, Title string }
	if err := resp.Decode(req, &n); err != nil {
		return nil, err
	}
	if !kvID.MatchString(n.ID) || n.Title != title {
		return nil, unreadable(req, "the answer describes another namespace")
	}
	return &KV{c, n.ID, n.Title, tell}, nil
}

func (p *pack) kvDelete() firedrill.Action {
	const name = "kv.delete"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Changes, Replay: firedrill.Idempotent, Claims: claimKVName,
		Doc: "Delete a scratch namespace that firedrill made. Any other title is refused. One that is not there counts as deleted; afterwards it is looked for again."},
		func(ctx context.Context, call firedrill.Call, in deleteIn) (action.Result[deleteOut], error) {
			var res action.Result[deleteOut]
			if err := checkScratchName(name, in.Name); err != nil {
				return res, err
			}
			ns, err := p.namespace(ctx, name, call, in.Name)
			if firedrill.KindOf(err) == firedrill.KindNotFound {
				res.Checks = []firedrill.Check{{OK: true, Compared: 1, Detail: "KV namespace " + in.Name + " does not exist"}}
				return res, nil
			}
			if err != nil {
				return res, err
			}
			req := ns.request(name, http.MethodDelete)
			req.Safe = true
			if _, err := ns.c.Do(ctx, req); err != nil && firedrill.KindOf(err) != firedrill.KindNotFound {
				return res, err
			}
			if _, err := p.namespace(ctx, name, call, in.Name); firedrill.KindOf(err) != firedrill.KindNotFound {
				if err == nil {
					err = &firedrill.Error{Op: name, Kind: firedrill.KindUnknown, Target: "KV namespace " + in.Name, Detail: "was deleted and is still listed", Remedy: "delete it by hand"}
				}
				return res, err
			}
			res.Out.Existed = true
			res.Summary = "KV namespace " + in.Name + " deleted"
			res.Checks = []firedrill.Check{{OK: true, Compared: 1, Detail: res.Summary + " and not listed any more"}}
			return res, nil
		})
}

func (p *pack) kvAbsent() firedrill.Action {
	const name = "kv.absent"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Check that the account has no KV namespace of this title."},
		func(ctx context.Context, call firedrill.Call, in absentIn) (action.Result[struct{}], error) {
			var res action.Result[struct{}]
			_, err := p.namespace(ctx, name, call, in.Name)
			gone := firedrill.KindOf(err) == firedrill.KindNotFound
			if err != nil && !gone {
				return res, err
			}
			res.Summary = "KV namespace " + in.Name + " does not exist"
			if !gone {
				res.Summary = "KV namespace " + in.Name + " is still there"
			}
			res.Checks = []firedrill.Check{{OK: gone, Compared: 1, Detail: res.Summary}}
			return res, nil
		})
}

// ownKeys begins the key of everything that firedrill writes into a namespace.
const ownKeys = "__firedrill/"
