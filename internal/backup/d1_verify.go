package backup

import "context"

func (b *Backup) verifyD1(context.Context) error { panic("later") }
