/**
 * The two scripts that Redis runs. Each has one key, takes the time from Redis' own clock, and decides by what the request says is.
 *
 * A window's key is a hash: `b` has when it was made; a field `<mark>|<process>` has what that process has used of that mark, what it holds
 * beyond, until when it holds it, and when the mark ends (ms). What is held counts as used until it ends. Fields of processes that have
 * not been heard of for ten minutes are added up in `<mark>|0`; to one that comes back, and takes what it has told to be known by its name,
 * that is said, and it goes on under another name.
 *
 * Numbers are written by `%.0f`: Lua's own way would round them to 14 digits.
 */

/** After so long without word, a process's use is added to that of others who are gone. */
export const FOLD_MS = 600_000;

/** ARGV: process, first, mark, limit, want, least, lease ms, settling, birth, then mark, end, used and what is known of it, of each report. */
export const WINDOW_SCRIPT = `
local key, me, mark = KEYS[1], ARGV[1], ARGV[3]
local first, last, limit = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local want, least = tonumber(ARGV[5]), tonumber(ARGV[6])
local lease, settling = tonumber(ARGV[7]), tonumber(ARGV[8])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function whole(x) return string.format('%.0f', x) end

local birth, sum, mine, live, gone = nil, 0, 0, 1, {}
local reported, ends, till = {}, 0, whole(now + lease)
if redis.call('HGET', key, 'b') == ARGV[9] then
  for i = 10, #ARGV, 4 do
    if tonumber(ARGV[i + 3]) > 0 and redis.call('HEXISTS', key, ARGV[i] .. '|' .. me) == 0
      and redis.call('HEXISTS', key, ARGV[i] .. '|0') == 1 then
      return { whole(now), '0', '0', '1', ARGV[9], '1' }
    end
  end
end
for i = 10, #ARGV, 4 do
  reported[ARGV[i]] = true
  local m, used = tonumber(ARGV[i]), tonumber(ARGV[i + 2])
  if m >= first and m <= last then mine = mine + used end
  if ARGV[i] == mark then ends = tonumber(ARGV[i + 1])
  else redis.call('HSET', key, ARGV[i] .. '|' .. me, ARGV[i + 2] .. ' 0 ' .. till .. ' ' .. ARGV[i + 1]) end
end
local all = redis.call('HGETALL', key)
for i = 1, #all, 2 do
  local m, who = string.match(all[i], '^(%d+)|(.+)$')
  if all[i] == 'b' then birth = tonumber(all[i + 1])
  elseif m then
    local used, held, heard, over = string.match(all[i + 1], '^(%d+) (%d+) (%d+) (%d+)$')
    local at = tonumber(m)
    used, held, heard, over = tonumber(used), tonumber(held), tonumber(heard), tonumber(over)
    if (over > 0 and over + ${FOLD_MS} < now) or (over == 0 and at < first) then redis.call('HDEL', key, all[i])
    else
      if at >= first and at <= last then
        if who == me then
          if not reported[m] then mine = mine + used end
        else
          sum = sum + used
          if heard > now then
            sum = sum + held
            if at == last then live = live + 1 end
          end
        end
      end
      if who ~= me and who ~= '0' and heard + ${FOLD_MS} < now then
        local other = gone[m] or { 0, over }
        gone[m] = { other[1] + used, over }
        redis.call('HDEL', key, all[i])
      end
    end
  end
end
for m, one in pairs(gone) do
  local before = redis.call('HGET', key, m .. '|0')
  local used = before and tonumber(string.match(before, '^(%d+)')) or 0
  redis.call('HSET', key, m .. '|0', whole(used + one[1]) .. ' 0 ' .. whole(now) .. ' ' .. whole(one[2]))
end
if not birth then
  birth = now
  redis.call('HSET', key, 'b', whole(now))
end

local free = math.max(0, limit - sum - mine)
local held = math.min(free, math.max(least, math.min(want, math.ceil(free / live))))
if now >= birth and now < birth + lease / 2 then held = math.min(held, math.max(0, settling - mine)) end
local used = 0
for i = 10, #ARGV, 4 do if ARGV[i] == mark then used = ARGV[i + 2] end end
redis.call('HSET', key, mark .. '|' .. me, used .. ' ' .. whole(held) .. ' ' .. till .. ' ' .. whole(ends))
if ends > 0 then redis.call('PEXPIRE', key, whole(math.max(ends - now, 0) + ${FOLD_MS}))
else redis.call('PERSIST', key) end
return { whole(now), whole(held), whole(free - held), whole(live), whole(birth), '0' }
`;

/** GCRA, for several at once. ARGV: interval and tolerance in µs, want, debt. */
export const RATE_SCRIPT = `
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local want, debt = tonumber(ARGV[3]), tonumber(ARGV[4])
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
at = math.min(at + debt * interval, now + tolerance)
local tokens = math.max(0, math.min(want, math.floor((now + tolerance - at) / interval)))
at = at + tokens * interval
redis.call('SET', KEYS[1], string.format('%.3f', at), 'PX', string.format('%.0f', math.ceil((at - now) / 1000) + 1000))
local wait = 0
if tokens < want then wait = math.max(0, math.ceil(at + interval - now - tolerance)) end
return { string.format('%.0f', math.floor(now / 1000)), string.format('%.0f', tokens), string.format('%.0f', wait) }
`;
