-- How far a partition's facts have come. ARGV: workspace. Answers the server's millisecond and the last place given, or ''.
local key = KEYS[1] .. ':fx:' .. ARGV[1]
local time, last = redis.call('TIME'), ''
if redis.call('EXISTS', key) == 1 then
  local info = redis.call('XINFO', 'STREAM', key)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
return { string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)), last }
