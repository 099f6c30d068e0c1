"""Sentences for the invented tweets, as data: per humanitarian class, for any class, in other languages.

Slots: `{place}`, `{tag}`, `{word}` (the hazard), `{n}` (a number) and the word lists of `SLOTS`. A clear
tweet takes a sentence of its class; a vague one takes a sentence from `VAGUE`, which says nothing about any
class.
"""

from __future__ import annotations

CLEAR: dict[str, tuple[str, ...]] = {
    "not_humanitarian": (
        "Who's watching the {show} tonight? {tag}",
        "Get {n}% off all {goods} this weekend only, code in bio {tag}",
        "My {pet} is named after the {word} and honestly it fits {tag}",
        "Trying the new {dish} place downtown, best lunch in {place}",
        "Happy birthday to my favourite person!! cake and {dish} later {tag}",
        "New single out now, stream it on repeat {tag} #music",
        "Monday mood: coffee, {dish} and zero emails",
        "Our {show} podcast drops at {n}, subscribe and win {goods}",
        "Selfie before the {show}, love this outfit {tag} #ootd",
        "lol my {pet} stole the {dish} again {tag}",
    ),
    "other_relevant_information": (
        "{word} {place} forecast update: {level} warning in force until {n}:00 {tag}",
        "Map: projected track and {level} risk zones for the {place} {word} {tag}",
        "Schools and offices in {place} closed until further notice, says {office} {tag}",
        "{office} explains how the {word} formed and what the models expect next",
        "Briefing live at {n}:00: {office} on the {word} response budget {tag}",
        "What insurers say about claims after the {place} {word} {tag}",
        "Timeline of the {word}: how {place} went to {level} alert in {n} hours",
        "{office} lifts the {level} alert for {place}, advisory stays in force {tag}",
        "Experts at {office} compare this {word} with records from {n} years ago",
    ),
    "rescue_volunteering_or_donation_effort": (
        "Volunteers are packing {supply} for {place}, come help at the {site} {tag}",
        "Donate {supply} at the {site}: drop-off open all day {tag}",
        "Rescue crews with boats pulled {n} neighbours to safety in {place} {tag}",
        "Fundraiser for {place}: every dollar buys {supply} {tag}",
        "So proud of the team delivering {supply} to the {site} in {place}",
        "We need drivers and volunteers to carry {supply}, sign up here {tag}",
        "Relief convoy with {n} pallets of {supply} reached {place} this morning",
        "Red vests everywhere: search and rescue teams deploy to {place} {tag}",
        "Charity kitchen at the {site} cooked {n} meals, donations welcome {tag}",
    ),
    "infrastructure_and_utility_damage": (
        "{extent}: the {structure} in {place} after the {word} {tag}",
        "Power lines down and the {structure} is {state} in {place} {tag}",
        "{n} homes {state}, {structure} closed after {word} hits {place}",
        "Video shows the {structure} {state} this morning {tag} {extent}",
        "Engineers inspect the {structure}, parts {state} by the {word} {tag}",
        "Our roof, our street, the {structure}... {state}. {extent} {tag}",
        "No electricity, no water mains: {structure} {state} across {place}",
        "{extent} downtown, {structure} {state}, repairs may take {n} weeks",
    ),
    "affected_individuals": (
        "Families sleep in the {site} after losing everything in {place} {tag}",
        "{n} evacuees still homeless, children waiting in line for news {tag}",
        "Grandmother and her kids evacuated to a shelter, third night there {tag}",
        "Displaced residents of {place} camp in the {site}, cold and tired",
        "We had to leave our home with two bags, staying with strangers now {tag}",
        "Evacuated families queue at the {site}, nobody knows when they return",
    ),
    "injured_or_dead_people": (
        "Death toll rises to {n} after the {place} {word} {tag}",
        "{n} people injured, hospital in {place} treats the wounded {tag}",
        "Officials confirm {n} dead and many wounded in the {word}",
        "Funeral for {n} victims killed by the {word} in {place} {tag}",
    ),
    "vehicle_damage": (
        "Dozens of cars crushed and overturned along the road in {place} {tag}",
        "My truck is totalled, windscreen gone, wheels under mud {tag}",
        "Wrecked buses and cars piled up after the {word} in {place}",
        "{n} vehicles ruined in the parking deck, tow trucks overwhelmed {tag}",
    ),
    "missing_or_found_people": (
        "MISSING: my brother, last seen near {place}, please share {tag}",
        "Please help us find our grandfather, missing since the {word} {tag}",
        "Found safe: the girl missing since Tuesday is back with relatives {tag}",
        "Have you seen her? missing person, {n} years old, last seen in {place}",
    ),
}

VAGUE: tuple[str, ...] = (
    "This is {place} right now {tag}",
    "I can't find the words {tag}",
    "Just got this picture from a friend near {place}",
    "Look at this... {tag}",
    "{place}, {n} minutes ago {tag}",
    "Thinking about {place} today",
    "What a week it's been {tag}",
    "Sent to me by my cousin. {place} {tag}",
    "Day {n} here in {place}",
    "Everyone should see this photo {tag}",
    "Still can't believe it {tag}",
    "More pictures in the thread {tag}",
    "So this happened in {place} during the {word}",
    "One year from now we'll remember this {tag}",
    "Taken from my window, {place}",
    "No comment. {tag}",
)

FOREIGN: dict[str, tuple[str, ...]] = {
    "not_humanitarian": (
        "Hoy toca cine y pizza con los amigos {tag}",
        "Mein Hund schläft seit {n} Stunden {tag}",
    ),
    "other_relevant_information": (
        "Bulletin météo : vigilance rouge à {place} jusqu’à {n} h {tag}",
        "{place} 警報は{n}時まで続く見込みです {tag}",
    ),
    "rescue_volunteering_or_donation_effort": (
        "Recogemos mantas y agua para {place}, ¡gracias! {tag}",
        "Volontari al lavoro a {place}, servono coperte {tag}",
    ),
    "infrastructure_and_utility_damage": (
        "El puente de {place} quedó destruido {tag}",
        "Des maisons détruites et une route coupée à {place} {tag}",
    ),
    "affected_individuals": ("Famílias desalojadas dormem no ginásio de {place} {tag}",),
    "injured_or_dead_people": ("عدد الجرحى في {place} وصل إلى {n} {tag}",),
    "vehicle_damage": ("Autos arrastrados por la corriente en {place} {tag}",),
    "missing_or_found_people": ("Se busca: desaparecido cerca de {place}, ayuda por favor {tag}",),
}

SLOTS: dict[str, tuple[str, ...]] = {
    "show": ("match", "concert", "series finale", "award night", "derby"),
    "goods": ("sneakers", "headphones", "phone cases", "lipsticks", "T-shirts"),
    "pet": ("cat", "puppy", "parrot", "hamster"),
    "dish": ("ramen", "tacos", "pancakes", "burger & fries", "sushi"),
    "level": ("orange", "red", "category 3", "high", "yellow"),
    "office": ("the weather office", "the mayor", "the geological institute", "the ministry", "the governor"),
    "supply": ("blankets", "bottled water", "food boxes", "tents", "diapers & formula", "medicine"),
    "site": ("school gym", "community hall", "stadium", "church", "fairground"),
    "structure": ("bridge", "school building", "main road", "old church", "power station", "apartment block"),
}

EXTENT: dict[str, tuple[str, ...]] = {
    "severe_damage": ("Total destruction", "Nothing left standing", "Levelled", "Catastrophic loss"),
    "mild_damage": ("Partly wrecked", "Some cracks and broken windows", "Half the roof torn"),
    "little_or_no_damage": ("Barely a scratch", "Minor scrapes only", "Mostly intact"),
    "dont_know_or_cant_judge": ("Hard to tell how bad", "Waiting for inspection"),
}

STATE: dict[str, tuple[str, ...]] = {
    "severe_damage": ("collapsed", "flattened", "destroyed"),
    "mild_damage": ("damaged", "cracked", "partly closed"),
    "little_or_no_damage": ("still standing", "lightly scuffed"),
    "dont_know_or_cant_judge": ("cordoned off", "closed"),
}

HANDLES: tuple[str, ...] = (
    "valley_desk_x",
    "NewsroomNord_x",
    "tide_and_sky",
    "marta_writes0",
    "coast_radio_77x",
    "OldTownPost_x",
    "jonas_w_0x",
)
EMOJI: tuple[str, ...] = ("🙏", "😢", "🔥", "🌊", "💔", "😂", "📷", "⚠️", "🚒")
