-- Asks for new keys and writes their IDs, as the body of a request for them, into a pipe.
local pipe, keys = nil, 0
function init(arguments)
  pipe = assert(io.open(arguments[1], "w"))
  pipe:setvbuf("no")
end
function request()
  return wrk.format("GET")
end
function response(status, headers, body)
  if status ~= 200 then return end
  local ids = {}
  for id in body:gmatch('"key_ID":"([^"]+)"') do ids[#ids + 1] = '{"key_ID":"' .. id .. '"}' end
  pipe:write('{"key_IDs":[' .. table.concat(ids, ",") .. ']}\n')
end
