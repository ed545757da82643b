#include "verify/sample_text.h"

namespace lotse {

std::string_view sample_text() {
  return R"(A harbour pilot does not own the ship. She comes aboard where the charts grow crowded,
listens to the engine for a minute, asks how the rudder answers, and then speaks in short sentences:
steady as she goes, dead slow ahead, hard to port. Half an hour later the lines are ashore, and the
captain, who has crossed two oceans, thanks a stranger for the last three miles.

The water in the basin is brown and almost still. Cranes lift containers from a deck as long as three
football fields; each box takes about ninety seconds, and there are eleven thousand of them. If two
cranes work without a pause, the last box leaves the ship after 137 hours and 30 minutes.

Ein Lotse kennt jede Untiefe seines Reviers. Er weiß, dass der Strom bei Ebbe nach Norden setzt, dass
die grüne Tonne im letzten Winter vertrieben wurde und dass der Wind hinter der Mole plötzlich
einschläft. Wer ihm zuhört, kommt sicher an.

引水员熟悉港口的每一处浅滩。船长把船交给他，不是因为自己不会开船，而是因为这里的水流、
风向和航道每天都在变化。一个小时以后，船稳稳地靠在码头上。

def tons_per_hour(boxes, tons_each, hours):
    """Returns the average mass moved in one hour."""
    if hours <= 0:
        raise ValueError("hours must be positive")
    return boxes * tons_each / hours

{"ship": "Elbe Star", "length_m": 399.9, "boxes": 11000, "pilots": ["Jansen", "Okafor"], "late": false}
)";
}

}  // namespace lotse
