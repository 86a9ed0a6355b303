package demo

const beginning = "harbour"

// scenes is the story of Lantern Harbour: an evening in which nothing has to be won.
var scenes = map[string]scene{
	"harbour": {
		tellings: []string{
			"Dusk comes to Lantern Harbour. Boats knock softly against the quay, and someone has begun to light the lamps along the water.",
			"You stand where the quay ends. The tide is turning, the gulls have gone quiet, and one window after another goes gold.",
			"The harbour smells of rope and salt. An old woman with a lantern on a pole nods to you as if you had been expected.",
		},
		choices: []choice{
			{"to_lighthouse", "walk to the lighthouse", []string{"lighthouse", "light", "tower", "faro"}, "lighthouse"},
			{"to_market", "wander through the evening market", []string{"market", "wander", "stalls", "mercado"}, "market"},
			{"to_keeper", "speak with the lantern keeper", []string{"speak", "talk", "keeper", "woman", "hello", "hi", "ask"}, "keeper"},
		},
	},
	"keeper": {
		tellings: []string{
			"\"Every evening I light forty lamps,\" says the keeper, \"and every evening I think the first one is the hardest.\" She holds out the pole. \"Would you like to do one?\"",
			"The keeper makes room for you on her bench. She doesn't ask where you come from. After a while she says that the fog is kind tonight.",
		},
		choices: []choice{
			{"light_lamp", "light a lamp", []string{"lamp", "light", "yes", "lantern", "pole"}, "lamp"},
			{"sit_quiet", "sit with her a while", []string{"sit", "stay", "rest", "quiet", "wait"}, "bench"},
			{"to_harbour", "go back along the quay", []string{"back", "quay", "harbour", "leave", "no"}, "harbour"},
		},
	},
	"lamp": {
		tellings: []string{
			"The wick takes the flame at the second try. A circle of warm light opens on the stones, and a cat walks into it as though it had been made for her.",
			"You lift the pole, and it is heavier than it looked. The keeper steadies it with one finger. Then the lamp is lit, and it was you who lit it.",
		},
		choices: []choice{
			{"follow_cat", "follow the cat", []string{"cat", "follow"}, "alley"},
			{"to_lighthouse", "carry the light on to the lighthouse", []string{"lighthouse", "carry", "tower", "on"}, "lighthouse"},
			{"sit_quiet", "rest on the bench", []string{"rest", "bench", "sit"}, "bench"},
		},
	},
	"bench": {
		tellings: []string{
			"You sit. The water lifts and lowers the boats, slowly, the way a sleeper's chest does. Nothing is asked of you here.",
			"On the bench it is easy to count: three boats, two gulls, one bell far out. The bell rings whenever the sea feels like it.",
		},
		choices: []choice{
			{"hear_bell", "listen for the bell", []string{"bell", "listen", "hear"}, "bell"},
			{"to_tea", "look for something warm to drink", []string{"warm", "tea", "drink", "cup"}, "teahouse"},
			{"to_harbour", "stroll back along the quay", []string{"back", "quay", "harbour", "stroll", "walk"}, "harbour"},
		},
	},
	"bell": {
		tellings: []string{
			"The bell sounds, and you notice the quiet after it more than the sound itself. A rowing boat lies below the steps, oars shipped, a blanket folded on the seat.",
			"One stroke, far out. You find that you had been holding your shoulders high, and let them come down.",
		},
		choices: []choice{
			{"to_boat", "row out a little way", []string{"row", "boat", "out", "sea"}, "boat"},
			{"to_bench", "stay on the bench", []string{"stay", "bench", "sit"}, "bench"},
		},
	},
	"boat": {
		tellings: []string{
			"The boat moves as soon as you ask it to. Behind you the town turns into a string of lights; ahead, the first stars look at themselves in the water.",
			"You row until the oars feel like part of you, then let the boat drift. It drifts back towards the harbour, as boats here do.",
		},
		choices: []choice{
			{"to_island", "drift to the little island", []string{"island", "drift", "land"}, "island"},
			{"to_harbour", "row home to the harbour", []string{"home", "harbour", "back", "row"}, "harbour"},
		},
	},
	"island": {
		tellings: []string{
			"The island is ten steps long. Someone has planted thyme between the stones and left a tin with a note in it: \"Take one thought with you, leave one here.\"",
			"On the island there is one tree, and in the tree there is one nest, and in the nest somebody small complains about the hour.",
		},
		choices: []choice{
			{"leave_thought", "leave a thought in the tin", []string{"leave", "thought", "write", "note", "tin"}, "tin"},
			{"to_boat", "go back to the boat", []string{"boat", "back", "go"}, "boat"},
		},
	},
	"tin": {
		tellings: []string{
			"You write a line, fold it small, and shut the tin. It is strange how light a hand can feel afterwards.",
			"Your note goes in with the others. On the one that you take out stands, in round letters: \"I was here on a Tuesday and it was good.\"",
		},
		choices: []choice{
			{"to_boat", "row back under the stars", []string{"row", "boat", "back", "stars"}, "boat"},
			{"to_island", "look around once more", []string{"around", "more", "island", "look"}, "island"},
		},
	},
	"lighthouse": {
		tellings: []string{
			"The lighthouse door is open. Inside, a stair winds up past small windows, each with a cushion for those who need to pause.",
			"From below, the beam looks like an arm that keeps waving good night to everybody. The stair begins at your feet.",
		},
		choices: []choice{
			{"climb", "climb the stair", []string{"climb", "stair", "stairs", "up", "subir"}, "lamproom"},
			{"pause_window", "pause at the first window", []string{"window", "pause", "cushion", "rest"}, "window"},
			{"to_harbour", "return to the harbour", []string{"return", "back", "harbour"}, "harbour"},
		},
	},
	"window": {
		tellings: []string{
			"From the cushion you see the market, no bigger than a tablecloth. Somebody down there laughs, and a moment later the laugh arrives.",
			"The window is round, and the evening in it looks painted. You can go on whenever you like, or not yet.",
		},
		choices: []choice{
			{"climb", "climb on", []string{"climb", "up", "on", "stair"}, "lamproom"},
			{"to_market", "go down to the market", []string{"down", "market"}, "market"},
		},
	},
	"lamproom": {
		tellings: []string{
			"At the top the great lamp turns without a sound. A log lies open, and the last entry says: \"Clear. All boats in.\" There is room for one more line.",
			"Up here the wind is only a hum. You can see how every light in the town stands for somebody who is still up, like you.",
		},
		choices: []choice{
			{"write_log", "write a line in the log", []string{"write", "log", "line", "entry"}, "log"},
			{"go_down", "go down again", []string{"down", "leave", "back"}, "lighthouse"},
		},
	},
	"log": {
		tellings: []string{
			"You write the date, and then, after some thought, what you can see. The keeper of the light will read it in the morning and know that the watch was kept.",
			"The pen is blue and the paper thick. Whatever you put there stands between two other hands' lines, in good company.",
		},
		choices: []choice{
			{"to_lamproom", "watch the beam a little longer", []string{"watch", "beam", "longer", "stay"}, "lamproom"},
			{"go_down", "go down to the town", []string{"down", "town", "go"}, "market"},
		},
	},
	"market": {
		tellings: []string{
			"The market is half asleep: pears, paper lanterns, a man who mends umbrellas. Steam drifts from a teahouse at the corner.",
			"A child sells shells \"for one button or one story\". Behind her, an alley climbs towards the smell of apples.",
		},
		choices: []choice{
			{"to_tea", "go into the teahouse", []string{"tea", "teahouse", "warm", "steam"}, "teahouse"},
			{"to_alley", "climb the alley to the orchard", []string{"alley", "orchard", "apples", "climb"}, "alley"},
			{"to_harbour", "drift back to the water", []string{"water", "harbour", "back", "drift"}, "harbour"},
		},
	},
	"teahouse": {
		tellings: []string{
			"The cup is warm in both hands. The host has put you where you can see the door and the fire, and leaves you to it.",
			"Tonight's tea is mint and something nobody will name. At the next table two friends play a slow game without keeping score.",
		},
		choices: []choice{
			{"join_game", "ask to join the game", []string{"join", "game", "play", "friends"}, "game"},
			{"to_library", "ask about the lamp upstairs", []string{"upstairs", "lamp", "ask", "library"}, "library"},
			{"to_market", "step out to the market", []string{"out", "market", "leave", "step"}, "market"},
		},
	},
	"game": {
		tellings: []string{
			"The rules are that you say what the piece reminds you of before you move it. Yours is a snail; it gets a good deal of respect.",
			"They explain the game twice, in two different ways, and both times it ends with tea.",
		},
		choices: []choice{
			{"to_tea", "lean back with your cup", []string{"lean", "back", "cup", "tea"}, "teahouse"},
			{"to_library", "climb to the reading room", []string{"climb", "reading", "library", "room"}, "library"},
		},
	},
	"library": {
		tellings: []string{
			"Above the teahouse is a reading room that stays open as long as its lamp burns. A book lies face down, as if its reader would be right back.",
			"The shelves here are sorted by weather. You find one that suits tonight.",
		},
		choices: []choice{
			{"open_book", "read a page", []string{"read", "page", "book", "open"}, "book"},
			{"to_tea", "go back down to the fire", []string{"down", "fire", "back", "tea"}, "teahouse"},
		},
	},
	"book": {
		tellings: []string{
			"The page tells of a harbour at dusk, and of somebody who arrived without a plan. You recognise the cat.",
			"Between two pages lies a pressed apple blossom and a ticket for a ferry that still runs.",
		},
		choices: []choice{
			{"to_library", "choose another book", []string{"another", "book", "choose"}, "library"},
			{"to_orchard", "look for the apple tree", []string{"apple", "tree", "orchard", "blossom"}, "orchard"},
		},
	},
	"alley": {
		tellings: []string{
			"The alley has more steps than it seemed, and a bench at every turn. The cat is already at the top.",
			"Ivy, a tap that drips in three-four time, a blue door. Over the wall lean the branches of an orchard.",
		},
		choices: []choice{
			{"to_orchard", "go on to the orchard", []string{"orchard", "on", "up", "cat", "apples"}, "orchard"},
			{"to_market", "turn back to the market", []string{"back", "market", "down", "turn"}, "market"},
		},
	},
	"orchard": {
		tellings: []string{
			"In the orchard the grass is long and the ladder still leans where somebody stopped for the day. You can see the whole harbour, and the lamp that is yours.",
			"The apples are the kind that are better tomorrow. There is a bench, and the evening has room in it.",
		},
		choices: []choice{
			{"pick_apple", "pick an apple for tomorrow", []string{"apple", "pick", "tomorrow"}, "apple"},
			{"to_alley", "go down the alley", []string{"alley", "down", "back"}, "alley"},
		},
	},
	"apple": {
		tellings: []string{
			"The apple comes away with a quarter turn. You put it in your pocket, where it makes itself known at every step, like a small promise.",
			"You choose the one with a leaf still on. The cat approves, or is hungry.",
		},
		choices: []choice{
			{"to_orchard", "stay under the trees", []string{"stay", "trees", "orchard", "under"}, "orchard"},
			{"to_harbour", "take it down to the harbour", []string{"down", "harbour", "take"}, "harbour"},
		},
	},
}

// What the story says when it follows no way: it listens, it breathes with you, or it puts itself down.
var (
	echoes = []string{
		"The evening takes that in without hurry.",
		"Somewhere a shutter closes softly; you have been heard.",
		"The keeper nods, as she does when a thing need not be answered at once.",
		"The tide goes on turning, and there is time for what you said.",
		"A lamp flickers and steadies itself.",
	}
	breaths = []string{
		"Let us breathe with the harbour. In, while the water lifts the boats. A moment's rest. Out, slowly, while it sets them down. Twice more, in your own time.",
		"Breathe in as if you smelled the orchard, and out as if you cooled a cup of tea. There is no counting to get right.",
		"Feel where your feet meet the ground. One breath that reaches down there. One more. The story waits.",
	}
	pauses = []string{
		"I am putting the story down for a moment. What you have just written matters more than the next page. You can say more, or sit here quietly; the story will wait.",
		"Let us step out of the story together. Thank you for saying it. Are you safe where you are right now? You can take your time.",
		"The story stops here for now, and that is all right. You do not have to find the right words. It can go on whenever you want, or not at all tonight.",
	}
)

// recommendation is a small suggestion that goes with a reply.
type recommendation struct {
	ID          string `json:"recommendation_id"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Type        string `json:"recommendation_type"`
	Priority    int    `json:"priority"`
}

var recommendations = []recommendation{
	{"rec_pause", "A pause between scenes", "Look up from the screen for as long as one slow breath takes.", "mindfulness", 1},
	{"rec_note", "One line for yourself", "Write down one thing of this evening that you would like to keep.", "journaling", 2},
}
