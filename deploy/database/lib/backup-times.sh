# What is due when. Pure: seconds in, words out; deploy/src/backup/schedule.test.ts holds it to its rules.

# The last time that it was the hour (UTC) at or before now.
last_daily() { # now hour
  local at=$(($1 - $1 % 86400 + $2 * 3600))
  [ "$at" -le "$1" ] || at=$((at - 86400))
  echo "$at"
}

# The same on a Sunday. The epoch was a Thursday.
last_weekly() { # now hour
  local at
  at=$(last_daily "$1" "$2")
  echo $((at - (at / 86400 + 4) % 7 * 86400))
}

# `full`, `diff` or nothing, by when the newest full backup and the newest of full and differential ones began
# (0 = there is none).
due() { # now hour full any
  if [ "$3" -eq 0 ] || [ "$3" -lt "$(last_weekly "$1" "$2")" ]; then
    # The first one at once; on any other day a full one that was missed is made up for.
    echo full
  elif [ "$4" -lt "$(last_daily "$1" "$2")" ]; then
    echo diff
  fi
}
