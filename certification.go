package firedrill

// Certification is what a plan says about its score. What is left out is as in
// the default rubric.
type Certification struct {
	Of        float64        `json:"of,omitempty" doc:"what the score is out of; 10 if left out"`
	Classes   []string       `json:"classes,omitempty" doc:"classes of environment whose drills count; staging if left out"`
	Grace     string         `json:"grace,omitempty" doc:"how long evidence still counts after its interval: 7d, 36h; 7d if left out, 0d for none"`
	Baseline  RubricBaseline `json:"baseline,omitzero" doc:"the points that prerequisites give together"`
	Items     []RubricItem   `json:"items,omitempty" doc:"what gives points, instead of the default"`
	Levels    []RubricLevel  `json:"levels,omitempty" doc:"names of scores, instead of the default"`
	Documents []string       `json:"documents,omitempty" doc:"recovery documents that must be current, relative to the plan"`
	Isolation IsolationCheck `json:"isolation,omitzero" doc:"what the isolation audit looks at"`
	Controls  string         `json:"controls,omitempty" doc:"file of further controls that evidence supports, relative to the plan"`
}

// RubricBaseline is given for all its prerequisites together or not at all.
type RubricBaseline struct {
	Points float64  `json:"points,omitempty" doc:"what the baseline is worth; 8 if left out"`
	Needs  []string `json:"needs,omitempty" doc:"prerequisites: isolation, documents, secrets"`
}

// RubricItem is one thing that gives points while there is fresh evidence of it.
type RubricItem struct {
	ID     string   `json:"id" doc:"its name"`
	Title  string   `json:"title,omitempty" doc:"what a person reads"`
	Points float64  `json:"points" doc:"what it is worth, in hundredths at the finest"`
	Use    string   `json:"use,omitempty" doc:"built-in drill that shows it; all drills of the plan that use it have to count"`
	Drills []string `json:"drills,omitempty" doc:"drills of the plan that show it; all of them have to count"`
	Every  string   `json:"every,omitempty" doc:"how long evidence counts where the drill has no every of its own"`
}

// RubricLevel is the name of a score.
type RubricLevel struct {
	Name string  `json:"name" doc:"its name"`
	At   float64 `json:"at" doc:"the score from which it holds"`
}

// IsolationCheck says what the isolation audit of a certification looks at.
type IsolationCheck struct {
	Folder   string `json:"folder,omitempty" doc:"folder with the wrangler configurations, relative to the plan; its folder if left out"`
	Baseline string `json:"baseline,omitempty" doc:"file of accepted findings, relative to the plan"`
}

// Score is how certified a plan is, in brief, as results tell it.
type Score struct {
	Score float64 `json:"score"`
	Level string  `json:"level"` // "none" below the first
	Of    float64 `json:"of"`
}
