package workerd

// PinnedVersion is the release that is fetched when the machine has none.
const PinnedVersion = "1.20261117.1"

// Pin is a package of one platform and the SHA-256 of the binary in it.
type Pin struct {
	Package string
	Version string
	SHA256  string
}

// pin finds the package for the locator's platform.
func (l Locator) pin() (Pin, bool) {
	if l.Pin != nil {
		return *l.Pin, true
	}
	var p Pin
	switch l.platform() {
	case "linux/amd64":
		p = Pin{Package: "@cloudflare/workerd-linux-64", SHA256: "2c950df972c039779162ed3803db9fe3f407b70709db2c9ef5a523b36cac4583"}
	case "linux/arm64":
		p = Pin{Package: "@cloudflare/workerd-linux-arm64", SHA256: "37007f28648931403563dbb75c6c784c3be0755d3a8793877c0d7ef33d116b7c"}
	case "darwin/amd64":
		p = Pin{Package: "@cloudflare/workerd-darwin-64", SHA256: "a9e8dc9bc174b7cfe2ac9dac3328a35697cd940868b55d3ef2f785da68730a4b"}
	case "darwin/arm64":
		p = Pin{Package: "@cloudflare/workerd-darwin-arm64", SHA256: "16b474b900aed8c5ee321c12e3a591e36879fce446cf3bf614dcfe3ff6c158b2"}
	default:
		return Pin{}, false
	}
	p.Version = PinnedVersion
	return p, true
}
