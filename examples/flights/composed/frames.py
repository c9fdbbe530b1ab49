"""Sentences with slots: whole questions that carry a noun, a value, a group or a property."""

from composed.words import ways

COUNT = ways(
    "How many {np} were there?|How many {np} are there?|How many {np}?|"
    "how many {np}|Number of {np}?|Count the {np}.|Count {np}.|"
    "What is the number of {np}?|Total number of {np}?|"
    "What was the total number of {np}?|Tell me how many {np} there were.|{np}?|"
    "Total {np}?|I want to know how many {np} there were.|"
    "Give me the number of {np}.|How many {np} do we have?|number of {np} please|"
    "What's the number of {np}?|how many {np} exist|Can you count the {np}?|"
    "What's the count of {np}?|Could you tell me how many {np} there are?|"
    "How many {np} can you find?|Find out how many {np} there were.|"
    "How large is the number of {np}?",
    "I need the number of {np}.|{np}, how many?|Do you know how many {np} there were?",
)
LED = ways(
    "{lead}, how many {np} were there?|{lead}, how many {np}?|"
    "{lead}, what is the number of {np}?|{lead} how many {np}|"
    "{lead}, what was the count of {np}?",
    "{lead}, could you count the {np}?",
)
VERBAL = ways("How many {np} {verb}?|How many {np} {verb}?|how many {np} {verb}", "Just how many {np} {verb}?")
CARRIER_DID = ways(
    "How many {np} did {n} have{at}?|How many {np} did {n} operate{at}?|"
    "How many {np} did {n} fly{at}?|How many {np} does {n} have{at}?|"
    "how many {np} did {n} run{at}|How many {np} did {n} make{at}?|"
    "How many {np} were there for {n}{at}?|What number of {np} did {n} operate{at}?",
    "How many {np} has {n} flown{at}?",
)
TIMES = ways(
    "How often did {n} fly{at}?|How many times did {n} fly{at}?|how many times did {n} go{at}",
    "How frequently did {n} fly{at}?",
)
DID_CANCEL = ways(
    "How many flights did {n} cancel{at}?|"
    "How many of {n}'s flights were cancelled{at}?|"
    "How many cancellations did {n} have{at}?",
    "How many flights has {n} cancelled{at}?",
)
CANCELLATIONS = ways(
    "How many cancellations were there{at}?|Number of cancellations{at}?|"
    "Cancellations{at}?|how many cancellations{at}|"
    "What was the number of cancellations{at}?",
    "Count the cancellations{at}.",
)
VALUE = ways(
    "What was the {v}{of}?|What is the {v}{of}?|{v}{of}?|{v}{of}|Find the {v}{of}.|"
    "Show me the {v}{of}.|Give the {v}{of}.|Tell me the {v}{of}.|"
    "what's the {v}{of}|Compute the {v}{of}.|what was the {v}{of}|"
    "Can you work out the {v}{of}?|Let me know the {v}{of}.|I need the {v}{of}.|"
    "How big was the {v}{of}?",
    "Do you know the {v}{of}?|I'd like the {v}{of}.",
)
VALUE_LED = ways(
    "{lead}, what was the {v}{of}?|{lead}, what is the {v}{of}?|{lead}, {v}{of}?", "{lead}, how big was the {v}{of}?"
)
EACH = ways(
    "{v}{of} by {key}?|{v} by {key}{of}?|{v} per {key}{of}?|{v} for each {key}{of}|"
    "What was the {v} of each {key}{of}?|For each {key}, what was the {v}{of}?|"
    "For every {key}, show the {v}{of}.|Show the {v}{of} by {key}.|"
    "What is the {v} for each {key}{of}?|Show every {key} with its {v}{of}.|"
    "List each {key} and its {v}{of}.|{v} by {key}{of}|"
    "What is the {v}{of} per {key}?|Give me the {v} of every {key}{of}.|"
    "Break down the {v}{of} by {key}.|{v}{of}, grouped by {key}|"
    "Give me the {v}{of} for all {keys}.",
    "I'd like to see the {v}{of} for each {key}.|How does the {v}{of} differ by {key}?",
)
EACH_COUNT = ways(
    "{np} by {key}?|{np} per {key}?|How many {np} were there {place} each {key}?|"
    "How many {np} {place} each {key}?|How many {np} were there by {key}?|"
    "Number of {np} by {key}?|Count the {np} per {key}.|"
    "number of {np} for each {key}|For each {key}, how many {np} were there?|"
    "Show the number of {np} by {key}.|Show {key} and number of {np}.|"
    "How many {np} per {key}|Give the number of {np} for every {key}.|"
    "How many {np} does each {key} have?|List each {key} with its number of {np}.|"
    "Break down the {np} by {key}.|How are the {np} spread over the {keys}?|"
    "I'd like the number of {np} of every {key}.|Count of {np}, grouped by {key}",
    "How many {np} did every {key} get?|{key} by {key}, how many {np}?",
)
DOWN = ways("highest first|from highest to lowest|in descending order|sorted from most to least|largest on top")
UP = ways("lowest first|from lowest to highest|in ascending order|smallest on top")
MOST = ways("the most|the most|the highest number of|the largest number of|the greatest number of")
FEWEST = ways("the fewest|the fewest|the lowest number of|the smallest number of|the least number of")
WHICH_COUNT = ways(
    "Which {key} had {most} {np}?|What {key} has {most} {np}?|"
    "{key} with {most} {np}?|Find the {key} with {most} {np}.|"
    "which {key} has {most} {np}|What is the {key} with {most} {np}?|"
    "Which {key} saw {most} {np}?|{place} which {key} were there {most} {np}?|"
    "Tell me the {key} with {most} {np}.|what {key} had {most} {np}|"
    "Name the {key} with {most} {np}.|Which {key} comes out with {most} {np}?",
    "Which one {key} got {most} {np}?|I'm looking for the {key} with {most} {np}.",
)
WHICH_VALUE = ways(
    "Which {key} had the {end} {v}{of}?|What {key} has the {end} {v}{of}?|"
    "{key} with the {end} {v}{of}?|Find the {key} with the {end} {v}{of}.|"
    "which {key} has the {end} {v}{of}|What is the {key} with the {end} {v}{of}?|"
    "{place} which {key} was the {v}{of} the {end}?|"
    "By {v}, which {key} had the {end}{of}?|Name the {key} with the {end} {v}{of}.|"
    "Which {key} comes out with the {end} {v}{of}?",
    "I'm looking for the {key} with the {end} {v}{of}.",
)
BUSIEST = ways(
    "What was the busiest {key}{of}?|Which {key} was the busiest{of}?|"
    "busiest {key}{of}?|what is the busiest {key}{of}|Which {key} is busiest{of}?|"
    "most popular {key}{of}?|What is the most common {key}{of}?|"
    "Name the busiest {key}{of}.|"
    "When it comes to traffic, which {key} is on top{of}?",
    "the busiest {key}{of} is which",
)
QUIETEST = ways("What was the quietest {key}{of}?|Which {key} was the least busy{of}?|quietest {key}{of}?")
BEST = {
    ("avg(dep_delay)", False): ways(
        "Which {key} is the most punctual at departure on average{of}?|"
        "Which {key} leaves most on time on average{of}?|"
        "Which {key} was best for departure delays on average{of}?|"
        "Which {key} has the shortest departure delays on average{of}?",
        "Which {key} departs with the least delay on average{of}?",
    ),
    ("avg(dep_delay)", True): ways(
        "Which {key} is the worst for departure delays on average{of}?|"
        "Which {key} leaves latest on average{of}?|"
        "Which {key} was delayed the most on average{of}?|"
        "which {key} has the worst delays on average{of}|"
        "Which {key} has the longest departure delays on average{of}?|"
        "Which {key} departs with the most delay on average{of}?",
        "Which {key} is least punctual leaving, on average{of}?",
    ),
    ("avg(arr_delay)", False): ways(
        "Which {key} is the most punctual at arrival on average{of}?|"
        "Which {key} arrives most on time on average{of}?|"
        "Which {key} was best for arrival delays on average{of}?|Which {key} arrives earliest on average{of}?",
        "Which {key} gets in with the least delay on average{of}?",
    ),
    ("avg(arr_delay)", True): ways(
        "Which {key} is the worst for arrival delays on average{of}?|"
        "Which {key} arrives latest on average{of}?|"
        "Which {key} has the longest arrival delays on average{of}?|"
        "Which {key} gets in with the most delay on average{of}?",
        "Which {key} is least punctual arriving, on average{of}?",
    ),
}
TOP = ways(
    "Which {k} {keys} had {most} {np}?|What are the {k} {keys} with {most} {np}?|"
    "List the {k} {keys} with {most} {np}.|Show the {k} {keys} with {most} {np}.|"
    "the {k} {keys} with {most} {np}|Name the {k} {keys} with {most} {np}.|"
    "I want the {k} {keys} with {most} {np}.",
    "Which are the {k} {keys} having {most} {np}?",
)
TOP_COUNT = ways(
    "Top {k} {keys} by number of {np}?|top {k} {keys} by {np}|"
    "What are the top {k} {keys} by number of {np}?|"
    "Give me the top {k} {keys} by {np}.|"
    "Show the {k} busiest {keys} by number of {np}.|"
    "Rank the top {k} {keys} by number of {np}.",
    "The {k} leading {keys} by number of {np}?",
)
POPULAR = ways(
    "What are the {k} busiest {keys}{of}?|top {k} {keys}{of}|"
    "{k} most popular {keys}{of}?|Give me the {k} most common {keys}{of}.|"
    "Top {k} {keys}{of}?|Show the {k} most popular {keys}{of}.|"
    "what are the top {k} {keys}{of}|Which {k} {keys} see the most traffic{of}?",
    "I want the {k} most frequent {keys}{of}.",
)
TOP_VALUE = ways(
    "Which {k} {keys} had the {end} {v}{of}?|"
    "What are the {k} {keys} with the {end} {v}{of}?|"
    "List the {k} {keys} with the {end} {v}{of}.|"
    "Show the {k} {keys} with the {end} {v}{of}.|"
    "I want the {k} {keys} with the {end} {v}{of}.",
    "Name the {k} {keys} having the {end} {v}{of}.",
)
AND_COUNT = ways(
    ", with the counts|, with counts|, and how many each|"
    ", with their number of {noun}|, and how many {noun} each had|"
    " and their counts|, showing how many|, including the counts",
    " along with the number of {noun}",
)
AND_VALUE = ways(
    ", with the {v}|, and show the {v}|, with that value| and the {v} of each|, including the {v}",
    " along with the {v}",
)
HAVING_COUNT = ways(
    "Which {keys} had {much} {np}?|List the {keys} with {much} {np}.|"
    "{keys} with {much} {np}?|What {keys} have {much} {np}?|"
    "Show all {keys} that had {much} {np}.|"
    "Find every one of the {keys} with {much} {np}.",
    "Name the {keys} having {much} {np}.",
)
HAVING_VALUE = ways(
    "Which {keys} had {an} {v} {much}{of}?|"
    "List the {keys} with {an} {v} {much}{of}.|{keys} with {an} {v} {much}{of}?|"
    "What {keys} have {an} {v} {much}{of}?|"
    "Which {keys} have {an} {v} that is {much}{of}?|"
    "Find the {keys} whose {v} is {much}{of}.",
    "Name the {keys} having {an} {v} {much}{of}.",
)
SHARE = ways(
    "What percentage of {np} {verb}?|What percent of {np} {verb}?|"
    "Percentage of {np} that {verb}?|what share of {np} {verb}, in percent|"
    "What share of {np} {verb}?|percent of {np} that {verb}|"
    "Of the {np}, what percentage {verb}?|"
    "What fraction of {np} {verb}, in percent?|"
    "What is the percentage of {np} that {verb}?|How many percent of {np} {verb}?|"
    "What proportion of {np} {verb}, as a percentage?",
    "In percent, how many of the {np} {verb}?|Out of all {np}, what percent {verb}?",
)

TABLE_VALUE = ways(
    "What was the {v}{at}?|What is the {v}{at}?|{v}{at}?|{v}{at}|Find the {v}{at}.|"
    "Show me the {v}{at}.|what was the {v}{at}|What's the {v}{at}?|"
    "Tell me the {v}{at}.|Give the {v}{at}.|I need the {v}{at}.|"
    "Do you know the {v}{at}?",
    "Can you look up the {v}{at}?|Let me know the {v}{at}.",
)
TABLE_COUNT = ways(
    "How many {np} are there?|How many {np}?|how many {np} are there|"
    "Number of {np}?|Count the {np}.|number of {np}|How many {np} do we have?|"
    "What is the number of {np}?|how many {np} do you know|Total number of {np}?|"
    "How many {np} are in the table?|How many {np} are in the database?|"
    "Count of {np}?|How many {np} are listed?",
    "Tell me how many {np} exist.|How many {np} can you find?",
)
TABLE_EACH = ways(
    "{v} by {key}{at}?|{v} per {key}{at}?|{v} for each {key}{at}?|"
    "What was the {v} of each {key}{at}?|Show the {v} by {key}{at}.|"
    "For each {key}, what was the {v}{at}?|{v} at each {key}{at}|"
    "{v} of every {key}{at}|Break down the {v} by {key}{at}.|"
    "{v}{at}, grouped by {key}",
    "I'd like the {v} for every {key}{at}.",
)
