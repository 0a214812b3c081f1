-- Sends the requests of a spread load in turn: each line of the file that `wrk … -- FILE FIRST` names is a token and an
-- organization; FIRST is the line to begin at. What is the same for all comes by `-H`.
local done_by = debug.getinfo(1, 'S').source:match('^@(.*)wrk%-spread%.lua$')
dofile(done_by .. 'wrk-report.lua')

local requests = {}
local turn = 0

function init(args)
  turn = tonumber(args[2])
  for line in io.lines(args[1]) do
    local token, organization = line:match('^(%S+) (%S+)$')
    local headers = {}
    for name, value in pairs(wrk.headers) do headers[name] = value end
    headers['authorization'] = 'Bearer ' .. token
    headers['x-org-id'] = organization
    requests[#requests + 1] = wrk.format(nil, nil, headers)
  end
end

function request()
  turn = turn + 1
  return requests[turn % #requests + 1]
end
