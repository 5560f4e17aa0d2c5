-- Gives slots under limits, as `give_slots` in the domain does. ARGV: how many limits; for each its name, interval and burst
-- in microseconds; then for each row how far ahead its slot may be, how many limits it has, and their positions from 1.
-- Answers for each row its wait in microseconds, and the limit that refused it or 0.
local p = KEYS[1]
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local count = tonumber(ARGV[1])
local arrival, interval, burst, changed = {}, {}, {}, {}
for limit = 1, count do
  local at = 3 * limit - 1
  arrival[limit] = math.max(tonumber(redis.call('GET', p .. ':' .. ARGV[at]) or 0), now)
  interval[limit], burst[limit] = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
end
local answers, at = {}, 3 * count + 2
while at <= #ARGV do
  local ahead, has = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local slot, by = now, 0
  for i = at + 2, at + 1 + has do
    local limit = tonumber(ARGV[i])
    local begins = arrival[limit] - burst[limit]
    if begins > slot then slot, by = begins, limit end
  end
  if slot - now <= ahead then
    by = 0
    for i = at + 2, at + 1 + has do
      local limit = tonumber(ARGV[i])
      arrival[limit] = arrival[limit] + interval[limit]
      changed[limit] = true
    end
  end
  answers[#answers + 1] = string.format('%.0f', math.ceil(slot - now))
  answers[#answers + 1] = by
  at = at + 2 + has
end
for limit = 1, count do
  if changed[limit] then
    local ms = string.format('%.0f', math.ceil((arrival[limit] - now) / 1000))
    redis.call('SET', p .. ':' .. ARGV[3 * limit - 1], string.format('%.3f', arrival[limit]), 'PX', ms)
  end
end
return answers
